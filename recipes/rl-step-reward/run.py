"""Tokens to half of the answers right, paid by outcome and paid by step. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

import msgspec
from cells import TARGET, TUNED, Cell, Lost, Pay, Study
from command import run_command
from lab_runs import at_once
from measure import ratios
from pages import made_by, write_results
from policies import train_base
from report import publish, publish_again, show

from rung.loop.stages import Stages

_NOT_SETTINGS = ("out", "publish", "publish_again", "seeds", "cells", "pays")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    out: Path = Path("rl-step-reward")
    """Where policies, runs and results go."""
    lengths: tuple[int, ...] = (1, 4, 12, 20)
    """Steps of the chains that the base policy knows."""
    demonstrations: int = 24_000
    """Chains that it learned from."""
    unlearning: int = 1_500
    """Wrong chains that it then learned from, in each cell; of one step four times as many."""
    prm_problems: int = 4_000
    """Problems, with two chains each, that a PRM learns from."""
    cells: tuple[tuple[int, float, Lost, int], ...] = (
        (1, 0.2, "misconceptions", 2_000_000),
        (1, 0.01, "misconceptions", 2_000_000),
        (4, 0.2, "misconceptions", 2_000_000),
        (4, 0.01, "misconceptions", 2_000_000),
        (12, 0.2, "misconceptions", 2_000_000),
        (12, 0.05, "misconceptions", 2_000_000),
        (12, 0.01, "misconceptions", 2_000_000),
        (12, 0.002, "misconceptions", 8_000_000),
        (12, 0.0005, "misconceptions", 8_000_000),
        (20, 0.05, "misconceptions", 4_000_000),
        (20, 0.01, "misconceptions", 4_000_000),
        (20, 0.002, "misconceptions", 12_000_000),
        (12, 0.2, "slips", 2_000_000),
        (12, 0.002, "slips", 2_000_000),
    )
    """Steps of a chain, the success rate at the start, how the right results were lost, and the
    tokens that a run may sample at most: more where the outcome alone takes longer."""
    pays: tuple[Pay, ...] = ("outcome", "steps", "prm")
    """By the outcome alone; by the true labels of steps and the outcome; by a PRM and the
    outcome."""
    seeds: int = 5
    seed: int = 0
    """Of the first run, and of the policies."""
    publish: bool = False
    """Put what came out into results.json, README.md, docs/results.md and the picture."""
    publish_again: bool = False
    """Put it beside that as a second run, into results-again.json and README.md."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    settings = {k: v for k, v in asdict(recipe).items() if k not in _NOT_SETTINGS}
    recipe.out.mkdir(parents=True, exist_ok=True)
    Stages.open(recipe.out, settings).run("the policy that knows the lab", lambda: _base(recipe))
    study = Study(recipe.out, recipe.unlearning, recipe.prm_problems, recipe.seed)
    cells = [Cell(*cell) for cell in recipe.cells]
    at_once({f"{cell.name}: start": partial(study.start, cell) for cell in cells})
    if "prm" in recipe.pays:
        at_once({f"{cell.name}: PRM": partial(study.train_prm, cell) for cell in cells})
    seeds = range(recipe.seed, recipe.seed + recipe.seeds)
    runs = [(cell, pay, seed) for seed in seeds for cell in cells for pay in recipe.pays]
    at_once({f"{c.name}: {pay}, seed {s}": partial(study.run, c, pay, s) for c, pay, s in runs})
    curves = [study.curve(*run) for run in runs]
    told = {**asdict(recipe), **TUNED}
    del told["out"]
    results = {
        **made_by("recipes/rl-step-reward/run.py"),
        "settings": told,
        "starts": [study.share_at_start(cell) for cell in cells],
        "curves": msgspec.to_builtins(curves),
        "ratios": msgspec.to_builtins(ratios(curves, TARGET)),
    }
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        publish(results)
    if recipe.publish_again:
        publish_again(results)


def _base(recipe: Recipe) -> None:
    train_base(recipe.out, recipe.lengths, recipe.demonstrations, recipe.seed)


if __name__ == "__main__":
    run_command(main, Recipe, "rl-step-reward", __doc__)
