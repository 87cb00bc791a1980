"""Where the PRM is ahead of the ORM and where they meet: by length and by labels. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

from command import run_command
from lab_runs import lab_runs
from labels import LabelStudy, by_labels
from lengths import by_length, of_one_length
from pages import made_by, write_results
from tables import publish, show

from rung.data.lab import Lab
from rung.loop.quickstart import Quickstart


def _mixed() -> Quickstart:
    return Quickstart(lab=Lab(num_steps=20, shortest=1), test_problems=400)


def _one_step() -> Quickstart:
    # A lab of one step holds no more than about 14,000 different problems, and a chain of it has a
    # sixth of the usual facts: they are read more often.
    usual = Quickstart()
    return Quickstart(
        lab=Lab(num_steps=1),
        num_demonstrations=8_000,
        train_problems=5_000,
        policy=replace(usual.policy, epochs=12),
        prm=replace(usual.prm, epochs=8),
        orm=replace(usual.orm, epochs=8),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    out: Path = Path("regimes")
    """Where quickstarts, labels, scorers and results go."""
    quickstarts: tuple[Path, ...] = ()
    """Finished quickstarts of different seeds, for the study of labels; made without them."""
    mixed: tuple[Path, ...] = ()
    """Finished ones on problems of mixed lengths, for the study of lengths; made without them."""
    one_step: tuple[Path, ...] = ()
    """Finished ones on problems of one step alone; made without them."""
    seeds: int = 5
    """Quickstarts that are made for each study."""
    size: Quickstart = field(default_factory=Quickstart)
    """Of those for the labels."""
    mixed_size: Quickstart = field(default_factory=_mixed)
    """Of those for the lengths."""
    one_step_size: Quickstart = field(default_factory=_one_step)
    """Of those on problems of one step."""
    chains: int = 4_000
    """Training chains of the study of labels."""
    epochs: int = 10
    """Over them."""
    publish: bool = False
    """Put what came out into results.json, README.md, docs/results.md and the pictures."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    mixed = lab_runs(recipe.mixed, recipe.out / "mixed", recipe.seeds, recipe.mixed_size)
    one_step = lab_runs(
        recipe.one_step, recipe.out / "one-step", recipe.seeds, recipe.one_step_size
    )
    runs = lab_runs(recipe.quickstarts, recipe.out, recipe.seeds, recipe.size)
    study = LabelStudy(recipe.out, recipe.chains, recipe.epochs)
    results = {
        **made_by("recipes/regimes/run.py"),
        "seeds": {"lengths": len(mixed), "labels": len(runs)},
        "chains": recipe.chains,
        "epochs": recipe.epochs,
        "lengths": by_length(mixed),
        "one_step": of_one_length(one_step),
        "labels": by_labels(study, runs),
    }
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        publish(results)


if __name__ == "__main__":
    run_command(main, Recipe, "regimes", __doc__)
