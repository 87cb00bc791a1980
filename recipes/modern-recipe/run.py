"""SFT, a PRM from automatic labels, RL paid by step, search on top: one command. See README.md.

Every stage is a verb of rung; stopped and run again, the recipe goes on where it was.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

sys.path.append(str(Path(__file__).resolve().parent))
sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "first-error"))

from command import run_command
from measure import measured
from pages import made_by, write_results
from report import publish, show
from sizes import LAB, SMOLLM2
from stages import Training

from rung.core import RungError

SIZES = {"lab": LAB, "smollm2": SMOLLM2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    out: Path = Path("modern-recipe")
    """Where everything goes."""
    model: Literal["lab", "smollm2"] = "lab"
    """A tiny new model, or SmolLM2-135M; both on the lab's word problems."""
    seeds: int | None = None
    """Trainings from nothing, each on its own problems; five in the lab, one with SmolLM2."""
    scale: float = 1.0
    """Of the numbers of chains and rounds; below 1 to try the recipe out."""
    n: int = 16
    """Chains a test problem."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of training: bf16 is faster on a GPU, and on a CPU that multiplies in it."""
    publish: bool = False
    """Put what came out into results.json and README.md beside this file."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    trainings = _trainings(recipe)
    told = [training.run() for training in trainings]
    results = {
        **made_by("recipes/modern-recipe/run.py"),
        "settings": {**asdict(recipe), "out": "", "seeds": len(trainings)},
        "rl": told,
        **measured([training.out for training in trainings], recipe.n),
    }
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        publish(results)


def _trainings(recipe: Recipe) -> list[Training]:
    size = SIZES[recipe.model].scaled(recipe.scale)
    seeds = size.seeds if recipe.seeds is None else recipe.seeds
    if seeds < 1:
        raise RungError(f"--seeds is {seeds}, expected at least 1")
    return [
        Training(
            out=recipe.out / f"seed-{seed}",
            size=size,
            trunk=None if recipe.model == "lab" else recipe.model,
            n=recipe.n,
            seed=seed,
            precision=recipe.precision,
        )
        for seed in range(seeds)
    ]


if __name__ == "__main__":
    run_command(main, Recipe, "modern-recipe", __doc__)
