"""The calculator's labels beside people's, and its false alarms on reference solutions.

See README.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

import numpy as np
from command import run_command
from pages import made_by, write_results
from plain import is_unequal
from table import publish, show

from rung.core import ChainRecord, RungError
from rung.data import load
from rung.eval.statistics import FloatArray, estimate_share, resample_weights
from rung.verify import AlgebraChecker, StepCheck, check_step

HERE = Path(__file__).resolve().parent
PROCESSBENCH = "processbench_gsm8k_math.jsonl.gz"
BIG_BENCH_MISTAKE = "big_bench_mistake.jsonl.gz"
PRM800K = "prm800k_val_decoded.jsonl.gz"
REFERENCES = {
    "GSM8K train": "problems_gsm8k_train.jsonl.gz",
    "GSM8K test": "problems_gsm8k_test.jsonl.gz",
    "MATH test": "problems_math_test.jsonl.gz",
}
ALARMS = "alarms.txt"
"""Steps that are right by their labels and were called wrong, to be read by eye."""
Check = Callable[[Sequence[str]], list[StepCheck]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    data: Path = HERE.parents[2] / "shared" / "data"
    """The folder of the real data."""
    out: Path = Path("runs/calculator")
    """Where results.json and the alarms go."""
    num_chains: int | None = None
    """Chains of each set, the first ones; without it all."""
    workers: int = 1
    """Processes for sympy."""
    publish: bool = False
    """Put what came out into results.json and README.md beside this file."""


class Step(NamedTuple):
    """A step that somebody has judged, or one of a reference solution, which is taken as right."""

    problem: str
    chain: int
    text: str
    is_wrong: bool


def main(recipe: Recipe) -> None:
    """Both verifiers on all sets."""
    if not recipe.data.is_dir():
        raise RungError(f"there is no folder {recipe.data} with the real data; --data names it")
    recipe.out.mkdir(parents=True, exist_ok=True)
    (recipe.out / ALARMS).unlink(missing_ok=True)
    rows: list[dict[str, Any]] = []
    with AlgebraChecker(workers=recipe.workers) as algebra:
        algebra.check(["x + x = 2x"])  # starts the workers
        verifiers: dict[str, Check] = {"arithmetic": _calculate, "algebra": algebra.check}
        for name, steps in _sets(recipe):
            for verifier, check in verifiers.items():
                rows.append({"set": name, "verifier": verifier, **_row(recipe, steps, check)})
                print(rows[-1], file=sys.stderr, flush=True)
    results = {**made_by("recipes/calculator/run.py"), "rows": rows}
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        publish(results)


def _calculate(texts: Sequence[str]) -> list[StepCheck]:
    return [check_step(text) for text in texts]


def _sets(recipe: Recipe) -> Iterator[tuple[str, list[Step]]]:
    processbench = list(load(recipe.data / PROCESSBENCH))
    for subset in ("gsm8k", "math"):
        chosen = [r for r in processbench if r.meta["subset"] == subset]
        yield f"ProcessBench {subset}", _judged(chosen[: recipe.num_chains])
    mistakes = [
        r for r in load(recipe.data / BIG_BENCH_MISTAKE) if r.meta["task"] == "multistep_arithmetic"
    ]
    yield "BIG-Bench-Mistake arithmetic", _judged(mistakes[: recipe.num_chains])
    yield "PRM800K", _judged(list(load(recipe.data / PRM800K))[: recipe.num_chains])
    for name, file in REFERENCES.items():
        solutions = list(load(recipe.data / file))[: recipe.num_chains]
        yield name, _references(solutions)


def _judged(records: Sequence[ChainRecord]) -> list[Step]:
    return [
        Step(record.chain.problem.id, number, text, label == 0)
        for number, record in enumerate(records)
        for text, label in zip(record.chain.texts, record.labels_from("human").labels, strict=True)
        if label is not None
    ]


def _references(records: Sequence[ChainRecord]) -> list[Step]:
    return [
        Step(record.chain.problem.id, number, text, False)
        for number, record in enumerate(records)
        for text in record.chain.texts
    ]


def _row(recipe: Recipe, steps: Sequence[Step], check: Check) -> dict[str, Any]:
    began_s = time.process_time()
    checks = check([step.text for step in steps])
    seconds = time.process_time() - began_s
    called = np.array([found.is_right is False for found in checks])
    wrong = np.array([step.is_wrong for step in steps])
    alarms = [(s, c) for s, c, a in zip(steps, checks, called & ~wrong, strict=True) if a]
    _tell_alarms(recipe, alarms)
    weights = _Weights.of(steps)
    return {
        "steps": len(steps),
        "wrong": int(wrong.sum()),
        "judged": float(np.mean([found.is_right is not None for found in checks])),
        "called_wrong": int(called.sum()),
        "alarms": len(alarms),
        "alarms_unequal_in_python": sum(is_unequal(s.text, c) for s, c in alarms),
        "alarm_rate": weights.share(called, ~wrong),
        "precision": weights.share(wrong, called) if wrong.any() else None,
        "recall": weights.share(called, wrong) if wrong.any() else None,
        "first_error": _first_error(steps, called, wrong),
        "seconds": seconds,
    }


@dataclass(frozen=True, slots=True)
class _Weights:
    """Bootstrap weights of problems, and the problem of every step."""

    weights_RP: FloatArray
    problems: np.ndarray

    @classmethod
    def of(cls, steps: Sequence[Step]) -> _Weights:
        names = {name: k for k, name in enumerate(dict.fromkeys(s.problem for s in steps))}
        return cls(resample_weights(len(names)), np.array([names[s.problem] for s in steps]))

    def share(self, what: np.ndarray, among: np.ndarray) -> dict[str, float | None] | None:
        """The share of `what` among the steps, with its interval over problems."""
        num = self.weights_RP.shape[1]
        both_P = np.bincount(self.problems, weights=(what & among).astype(float), minlength=num)
        all_P = np.bincount(self.problems, weights=among.astype(float), minlength=num)

        found = estimate_share(both_P, all_P, self.weights_RP)
        return asdict(found) if found else None


def _first_error(
    steps: Sequence[Step], called: np.ndarray, wrong: np.ndarray
) -> dict[str, float] | None:
    """Of the chains with an error, those whose first step called wrong is the first wrong one."""
    firsts: dict[int, list[int | None]] = {}
    for at, step in enumerate(steps):
        first = firsts.setdefault(step.chain, [None, None])
        for k, marks in enumerate((wrong, called)):
            if marks[at] and first[k] is None:
                first[k] = at
    with_error = [first for first in firsts.values() if first[0] is not None]
    if not with_error:
        return None
    return {
        "found": sum(a == b for a, b in with_error),
        "earlier": sum(a is not None and b is not None and b < a for a, b in with_error),
        "chains": len(with_error),
    }


def _tell_alarms(recipe: Recipe, alarms: Sequence[tuple[Step, StepCheck]]) -> None:
    """Add them to the file."""
    with (recipe.out / ALARMS).open("a", encoding="utf-8") as stream:
        for step, check in alarms:
            wrong = [step.text[e.start : e.end] for e in check.equations if e.is_right is False]
            stream.write(f"{step.problem}\t{wrong}\t{step.text!r}\n")


if __name__ == "__main__":
    run_command(main, Recipe, "calculator", __doc__)
