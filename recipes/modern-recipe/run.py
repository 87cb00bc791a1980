"""SFT, a PRM from automatic labels, RL paid by step, search on top: one command. See README.md.

Every stage is a verb of rung; stopped and run again, the recipe goes on where it was.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

sys.path.append(str(Path(__file__).resolve().parent))
sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "first-error"))

from command import run_command
from pages import made_by, write_results
from report import publish, show
from sizes import LAB, SMOLLM2, Size
from verbs import rung

from rung.core import ChainRecord, Problem, write_problems, write_records
from rung.data.lab import Lab, demonstrations, make_demonstrator, make_problems
from rung.model.tiny import make_tiny

SIZES = {"lab": LAB, "smollm2": SMOLLM2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    out: Path = Path("modern-recipe")
    """Where everything goes."""
    model: Literal["lab", "smollm2"] = "lab"
    """A tiny new model, or SmolLM2-135M; both on the lab's word problems."""
    scale: float = 1.0
    """Of the numbers of chains and rounds; below 1 to try the recipe out."""
    n: int = 16
    """Chains a test problem."""
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of training: bf16 is faster on a GPU, and on a CPU that multiplies in it."""
    publish: bool = False
    """Put what came out into results.json and README.md beside this file."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    out, size = recipe.out, SIZES[recipe.model].scaled(recipe.scale)
    learning = ("--precision", recipe.precision, "--seed", recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    _make_problems(recipe, size)
    trunk = _trunk(recipe, size)
    rung(
        *("train", "policy", out / "demonstrations.jsonl.gz", "--trunk", trunk),
        *("--out", out / "sft", "--validation-fraction", 0.02, *learning, *size.sft),
    )
    labeled = _chains(recipe, size, "sft", "prm", size.prm_chains)
    rung(
        *("train", "prm", labeled, "--trunk", out / "sft", "--out", out / "prm"),
        *learning,
        *size.prm,
    )
    probes = out / "probes.jsonl"
    tested = _chains(recipe, size, "sft", "test", recipe.n)
    rung("probe", tested, "--scorer", f"prm={out / 'prm'}", "--out", probes)
    paid = rung(
        *("rl", out / "rl-problems.jsonl", "--held-out", out / "validation-problems.jsonl"),
        *("--policy", out / "sft", "--scorer", out / "prm", "--verifier", "lab"),
        *("--out", out / "rl", "--max-tokens", size.max_tokens, *learning, *size.rl),
    )
    rows = [_measure(recipe, size, policy) for policy in ("sft", "rl")]
    results = {
        **made_by("recipes/modern-recipe/run.py"),
        "settings": {**asdict(recipe), "out": ""},
        "rl": paid | {"out": ""},
        "rows": rows,
    }
    write_results(results, out / "results.json")
    print(show(results))
    if recipe.publish:
        publish(results)


def _make_problems(recipe: Recipe, size: Size) -> None:
    """Demonstrations, and the problems of each split; no question stands in two."""
    lab = Lab(num_steps=size.num_steps)
    counts = {
        "demonstrations": size.demonstrations,
        "prm": size.prm_problems,
        "rl": size.rl_problems,
        "validation": size.validation_problems,
        "test": size.test_problems,
    }
    every: Iterator[Problem] = make_problems(lab, sum(counts.values()), seed=recipe.seed)
    for name, count in counts.items():
        problems = list(islice(every, count))
        if name == "demonstrations":
            shown = demonstrations(make_demonstrator(lab, seed=recipe.seed), problems, seed=1)
            write_records(recipe.out / f"{name}.jsonl.gz", map(ChainRecord, shown))
        else:
            write_problems(recipe.out / f"{name}-problems.jsonl", problems)


def _trunk(recipe: Recipe, size: Size) -> str:
    if recipe.model != "lab":
        return recipe.model
    folder = recipe.out / "tiny"
    if not (folder / "config.json").exists():
        texts = _texts(recipe.out / "demonstrations.jsonl.gz")
        make_tiny(folder, texts, seed=recipe.seed, max_tokens=512)
    return str(folder)


def _texts(path: Path) -> Iterator[str]:
    from rung.core import read_records

    for record in read_records(path):
        yield record.chain.problem.question
        yield from record.chain.texts


def _chains(recipe: Recipe, size: Size, policy: str, split: str, n: int) -> Path:
    """The policy's chains for a split's problems, labeled by the lab."""
    out = recipe.out
    chains, labeled = (out / f"{policy}-{split}-{name}.jsonl.gz" for name in ("chains", "labeled"))
    rung(
        *("sample", out / f"{split}-problems.jsonl", "--policy", out / policy, "--out", chains),
        *("--n", n, "--max-tokens", size.max_tokens, "--seed", recipe.seed),
    )
    rung("label", "verify", chains, "--verifier", "lab", "--out", labeled)
    return labeled


def _measure(recipe: Recipe, size: Size, policy: str) -> dict[str, Any]:
    """What one chain, a vote, the PRM's best of N and a search get right; how the PRM ranks."""
    out = recipe.out
    labeled = _chains(recipe, size, policy, "test", recipe.n)
    scored = out / f"{policy}-test-scored.jsonl.gz"
    rung("score", labeled, "--scorer", f"prm={out / 'prm'}", "--out", scored)
    found = rung("eval", "best-of-n", scored, "--prm", "prm")
    (steps,) = rung("eval", "steps", scored, "--scorer", "prm")["metrics"]
    searched = rung(
        *("search", out / "test-problems.jsonl", "--policy", out / policy),
        *("--scorer", out / "prm", "--algorithm", "beam", "--n", recipe.n, "--seed", recipe.seed),
        *("--max-tokens", size.max_tokens, "--out", out / f"{policy}-searched.jsonl"),
    )
    curves = {name: _at(found["curves"][name], recipe.n) for name in ("prm_min", "majority")}
    one = _at(found["curves"]["prm_min"], 1)
    ranked = {"step_auroc": steps["auroc"]}
    return {"policy": policy, "one": one, **curves, "beam": searched["accuracy"], **ranked}


def _at(curve: Sequence[dict[str, Any]], n: int) -> dict[str, Any]:
    return next(point for point in curve if point["n"] == n)


if __name__ == "__main__":
    run_command(main, Recipe, "modern-recipe", __doc__)
