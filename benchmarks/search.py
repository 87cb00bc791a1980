"""Beam search and particle filtering against its-hub, with one tiny policy and one PRM.

Both sides have the quickstart's policy and PRM, the same fresh problems and the same N. its-hub
searches one problem at a time, which is how it is called; rung is given all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from common import (
    Answer,
    Peer,
    Side,
    Spread,
    alternate,
    conditions,
    publish,
    ratios,
    start_sides,
    table,
)
from workloads import unseen_problems

from rung.core import Chain, Problem, Verdict
from rung.label import LabLabeler
from rung.loop import Quickstart
from rung.verify import extract_answer

HUB = Peer(
    "its-hub",
    "hub_search.py",
    "RUNG_HUB_PYTHON",
    "its_hub",
    "its-hub==1.2.0 reward-hub==0.1.10 torch==2.13.0",
)
ALGORITHMS = ("beam", "particles")
GOAL = "at least 5"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBenchmark:
    """The defaults make the numbers in README.md."""

    quickstart: Path = Path("quickstart")
    """A finished `rung quickstart`."""
    out: Path = Path("runs/benchmarks")
    """Where the sides' logs go."""
    problems: int = 100
    n: int = 16
    width: int = 4
    """Next steps behind a kept prefix."""
    rounds: int = 3
    threads: int = 1
    publish: bool = False
    """Put what came out into README.md."""


def main(benchmark: SearchBenchmark) -> None:
    """Both searches on both sides, in turn."""
    benchmark.out.mkdir(parents=True, exist_ok=True)
    problems, lab = unseen_problems(benchmark.quickstart, benchmark.problems)
    settings = {
        "policy": str((benchmark.quickstart / "policy").resolve()),
        "prm": str((benchmark.quickstart / "prm").resolve()),
        "max_tokens": Quickstart(lab=lab).max_tokens,
        "max_steps": 2 * (lab.num_steps + 1),
        "threads": benchmark.threads,
    }
    scripts = {"rung": (sys.executable, "rung_search.py"), HUB.name: (HUB.python(), HUB.script)}
    rows: list[list[str]] = []
    with start_sides(scripts, settings, benchmark.out) as sides:
        for algorithm in ALGORITHMS:
            rows += _compare(benchmark, algorithm, problems, sides)
    head = ["search", "side", "accuracy, %", "seconds", "of processor", "tokens sampled", "scored"]
    head += ["its-hub / rung, wall clock", "processor time"]
    told = {"N": benchmark.n, "problems": benchmark.problems, "rounds": benchmark.rounds}
    text = table(head, rows) + "\n\n" + conditions({**told, "threads": benchmark.threads})
    print(text)
    if benchmark.publish:
        publish("search", text)


def _compare(
    benchmark: SearchBenchmark,
    algorithm: str,
    problems: Sequence[Problem],
    sides: Mapping[str, Side],
) -> list[list[str]]:
    """A row a side."""
    job = {"algorithm": algorithm, "n": benchmark.n, "width": benchmark.width, "seed": 0}
    told = {**job, "questions": [problem.question for problem in problems]}
    for side in sides.values():
        side.do({**told, "questions": told["questions"][:2]})  # warms up
    jobs = {f"{algorithm}, {name}": (name, told) for name in sides}
    answers = alternate(sides, jobs, benchmark.rounds)
    ours, theirs = (answers[f"{algorithm}, {name}"] for name in ("rung", HUB.name))
    wall, processor = (ratios(theirs, ours, clock).shown(1) for clock in ("seconds", "cpu_seconds"))
    return [
        _row(algorithm, "rung", ours, problems, (f"{wall} ({GOAL})", processor)),
        _row(algorithm, HUB.name, theirs, problems, ("", "")),
    ]


def _row(
    algorithm: str,
    name: str,
    answers: Sequence[Answer],
    problems: Sequence[Problem],
    gains: Sequence[str],
) -> list[str]:
    right = [_accuracy(answer["steps"], problems) for answer in answers]
    seconds, processor = (
        Spread.of([answer[clock] for answer in answers]).shown(1)
        for clock in ("seconds", "cpu_seconds")
    )
    shown = Spread.of([100 * share for share in right]).shown(0)
    counts = [str(answers[0][name]) for name in ("sampled", "scored")]
    return [algorithm, name, shown, seconds, processor, *counts, *gains]


def _accuracy(steps: Sequence[Sequence[str]], problems: Sequence[Problem]) -> float:
    chains = [
        Chain.of(problem, texts, answer=extract_answer("\n".join(texts)))
        for problem, texts in zip(problems, steps, strict=True)
    ]
    verdicts = LabLabeler().verify(chains)
    return sum(verdict is Verdict.CORRECT for verdict in verdicts) / len(problems)


if __name__ == "__main__":
    main(tyro.cli(SearchBenchmark))
