"""Tokens to half of the answers right, paid by outcome and paid by step. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

sys.path.append(str(Path(__file__).resolve().parent))
sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

import msgspec
import tyro
from measure import Curve, curve_in, ratios
from pages import made_by, write_results
from policies import WholeChains, problems_for, train_base, unlearn
from report import publish, show

from rung.core import Chain, ChainRecord, Sampling
from rung.core.protocols import Scorer
from rung.generate import TransformersGenerator
from rung.label import LabLabeler, with_outcomes
from rung.loop.stages import Stages
from rung.model import load_causal_lm
from rung.rl import Guards, Looking, Paying, RlTraining, Updating, train_rl
from rung.score import LabelingScorer, load_scorer
from rung.train import Optimization, RewardTraining, train_reward
from rung.verify import extract_answer

Pay = Literal["outcome", "steps", "prm"]
LAB = LabLabeler()
WHOLE = WholeChains()
HELD_OUT = 200
HELD_BACK = 40
"""Of a PRM's chains, those that it is validated on."""
TARGET = 0.5
TOKENS_A_STEP = 12
TUNED = {
    "lr": 3e-4,
    "problems": 16,
    "chains": 16,
}
"""The same for every way of paying."""
_NOT_SETTINGS = ("out", "publish", "seeds", "cells", "pays", "budget")


class Cell(NamedTuple):
    """Where runs start: chains of so many steps, and the policy's share of right ones."""

    num_steps: int
    rate: float

    @property
    def name(self) -> str:
        """As a folder is called."""
        return f"{self.num_steps}-steps-{self.rate:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md; `--size full` is the whole study."""

    out: Path = Path("rl-step-reward")
    """Where policies, runs and results go."""
    lengths: tuple[int, ...] = (1, 4, 12)
    """Steps of the chains that the base policy knows."""
    demonstrations: int = 24_000
    """Chains that it learned from."""
    unlearning: int = 1_500
    """Chains with slips that it then learned from, in each cell."""
    prm_problems: int = 1_000
    """Problems, with two chains each, that a PRM learns from."""
    cells: tuple[tuple[int, float], ...] = (
        (1, 0.2),
        (1, 0.01),
        (4, 0.2),
        (4, 0.01),
        (12, 0.2),
        (12, 0.01),
        (12, 0.002),
    )
    """Steps of a chain and the success rate at the start."""
    pays: tuple[Pay, ...] = ("outcome", "steps")
    """By the outcome alone; by the true labels of steps and the outcome; by a PRM and the
    outcome."""
    budget: int = 600_000
    """Tokens sampled in a run, at most."""
    seeds: int = 2
    seed: int = 0
    """Of the first run, and of the policies."""
    publish: bool = False
    """Put what came out into results.json, curves.svg and README.md beside this file."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    settings = {k: v for k, v in asdict(recipe).items() if k not in _NOT_SETTINGS}
    recipe.out.mkdir(parents=True, exist_ok=True)
    Stages.open(recipe.out, settings).run("the policy that knows the lab", lambda: _base(recipe))
    curves = list(_curves(recipe))
    results = {
        **made_by("recipes/rl-step-reward/run.py"),
        "settings": {**asdict(recipe), "out": "", **TUNED},
        "curves": msgspec.to_builtins(curves),
        "ratios": msgspec.to_builtins(ratios(curves, TARGET, recipe.budget)),
    }
    results["settings"].pop("out")
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        publish(results)


def _base(recipe: Recipe) -> None:
    train_base(recipe.out, recipe.lengths, recipe.demonstrations, recipe.seed)


def _curves(recipe: Recipe) -> Iterator[Curve]:
    for seed in range(recipe.seed, recipe.seed + recipe.seeds):
        for cell in map(Cell._make, recipe.cells):
            start = recipe.out / cell.name / "policy"
            unlearn(
                recipe.out / "base",
                start,
                cell.num_steps,
                cell.rate,
                recipe.unlearning,
                recipe.seed,
            )
            for pay in recipe.pays:
                yield _run(recipe, cell, start, pay, seed)


def _run(recipe: Recipe, cell: Cell, start: Path, pay: Pay, seed: int) -> Curve:
    """One run of `rung rl`, from where it stands."""
    out = recipe.out / cell.name / f"{pay}-{seed}"
    problems = problems_for(cell.num_steps, 4_000 + HELD_OUT, recipe.seed)
    most = TOKENS_A_STEP * (cell.num_steps + 1)
    a_round = TUNED["problems"] * TUNED["chains"] * 9 * (cell.num_steps + 1)
    settings = RlTraining(
        policy=start,
        paying=Paying(form="outcome" if pay == "outcome" else "sum"),
        guards=Guards(alarm="off"),
        updating=Updating(
            iterations=max(1, round(recipe.budget / a_round)),
            problems=int(TUNED["problems"]),
            chains=int(TUNED["chains"]),
            lr=TUNED["lr"],
            max_tokens=most,
        ),
        looking=Looking(look_every=_look_every(cell), look_chains=1, until_accuracy=0.55),
        seed=seed,
    )
    train_rl(
        settings,
        problems[HELD_OUT:],
        problems[:HELD_OUT],
        out,
        verifier=WHOLE,
        scorer=_scorer(recipe, cell, start, pay),
    )
    return curve_in(out, num_steps=cell.num_steps, rate=cell.rate, pay=pay, seed=seed)


def _look_every(cell: Cell) -> int:
    """Rounds between looks: rarer where rounds are short."""
    return 4 if cell.num_steps < 6 else 2


def _scorer(recipe: Recipe, cell: Cell, start: Path, pay: Pay) -> Scorer | None:
    if pay == "outcome":
        return None
    if pay == "steps":
        return LabelingScorer(LAB)
    prm = recipe.out / cell.name / "prm"
    if not (prm / "training.json").exists():
        _train_prm(recipe, cell, start, prm)
    return load_scorer(prm)


def _train_prm(recipe: Recipe, cell: Cell, start: Path, out: Path) -> None:
    """A PRM on the true labels of chains that the start policy wrote."""
    policy = TransformersGenerator(*load_causal_lm(start), extract_answer=extract_answer)
    problems = problems_for(cell.num_steps, 4_000 + HELD_OUT, recipe.seed)[HELD_OUT:][
        : recipe.prm_problems
    ]
    sampling = Sampling(max_tokens=TOKENS_A_STEP * (cell.num_steps + 1), seed=recipe.seed + 9)
    groups = policy.sample([Chain(problem, ()) for problem in problems], 2, sampling)
    chains = [chain for group in groups for chain in group if chain.steps]
    labeled = [
        ChainRecord(chain).with_labels(labels)
        for chain, labels in zip(chains, LAB.label(chains), strict=True)
    ]
    records = with_outcomes(labeled, WHOLE)
    learning = Optimization(lr=1.4e-3, beta2=0.98, epochs=4, batch_tokens=1100, patience=0)
    training = RewardTraining(kind="prm", trunk=start, optimization=learning)
    train_reward(training, records[HELD_BACK:], records[:HELD_BACK], out)


if __name__ == "__main__":
    main(tyro.cli(Recipe))
