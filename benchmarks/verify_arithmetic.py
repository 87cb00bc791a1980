"""A million real steps through the calculator, on one process and on two.

The steps are GSM8K's reference solutions, ProcessBench's gsm8k chains and the solutions of the 12
models in ZeroEval's pool, over and over until there are enough; nothing is remembered between
them. Beside it, on the equations of some of these steps: math-verify and sympy, which are told
where an equation's sides are.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import tyro
from common import SHARED_DATA, Spread, conditions, publish, table

from rung.core import RungError
from rung.data import load
from rung.verify import Calculator, check_step

SOLUTIONS = ("problems_gsm8k_train.jsonl.gz", "problems_gsm8k_test.jsonl.gz")
PROCESSBENCH = "processbench_gsm8k_math.jsonl.gz"
POOL = "bon_zeroeval_gsm8k_12models.jsonl.gz"
AT_ONCE = 20_000
"""Steps that the checker is given at a time."""
Sides = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """The defaults make the numbers in README.md."""

    data: Path = SHARED_DATA
    """The folder of the real data."""
    steps: int = 1_000_000
    """Steps that are verified."""
    workers: tuple[int, ...] = (1, 2)
    """Processes, one run each."""
    equations: int = 400
    """Equations that the other programs are given."""
    rounds: int = 3
    """Times that the other programs are measured, with rung in turn."""
    publish: bool = False
    """Put the tables into README.md beside this file."""


def main(run: Verify) -> None:
    steps = list(dict.fromkeys(_real_steps(run.data)))
    shown = [_speeds(run, steps), _beside(run, steps)]
    told = {"steps": run.steps, "distinct steps": len(steps), "rounds": run.rounds}
    text = "\n\n".join([*shown, conditions(told)])
    print(text)
    if run.publish:
        publish("verify_arithmetic", text)


def _real_steps(data: Path) -> Iterator[str]:
    for name in (*SOLUTIONS, PROCESSBENCH):
        for record in load(data / name):
            if record.meta.get("subset") != "math":
                yield from record.chain.texts
    with gzip.open(data / POOL, "rt", encoding="utf-8") as stream:
        for line in stream:
            for sample in json.loads(line)["samples"]:
                yield from sample["steps"]


def _speeds(run: Verify, distinct: Sequence[str]) -> str:
    """Steps a second with each number of processes; the verdicts must be the same."""
    rows: list[list[str]] = []
    verdicts: list[bool | None] | None = None
    for workers in run.workers:
        steps = islice(cycle(distinct), run.steps)
        with Calculator(workers=workers) as checker:
            checker.are_right(distinct[:1000])  # starts the processes
            began_s, cpu_s = time.perf_counter(), _cpu_s()
            found: list[bool | None] = []
            while some := list(islice(steps, AT_ONCE)):
                found += checker.are_right(some)
            seconds = time.perf_counter() - began_s
        cpu_s = _cpu_s() - cpu_s
        assert verdicts is None or found == verdicts
        verdicts = found
        counts = [f"{found.count(v)}" for v in (True, False, None)]
        rate = [f"{len(found) / seconds:.0f}", f"{len(found) / cpu_s:.0f}"]
        rows.append([str(workers), f"{len(found)}", *counts, f"{seconds:.1f}", *rate])
        print(f"{workers} processes: {seconds:.1f} s", file=sys.stderr, flush=True)
    head = ["processes", "steps", "right", "wrong", "nothing said", "seconds", "steps a second"]
    return table([*head, "steps a second of processor"], rows)


def _cpu_s() -> float:
    """What this process used, and those that it has ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _beside(run: Verify, distinct: Sequence[str]) -> str:
    """The same equations by rung, which finds them itself, and by programs that are told them."""
    steps, equations = _equations(distinct, run.equations)
    jobs: dict[str, Callable[[], list[bool]]] = {
        "rung": lambda: [verdict for step in steps for verdict in _by_rung(step)],
        "math-verify": lambda: [_by_math_verify(*sides) for sides in equations],
        "sympy": lambda: [_by_sympy(*sides) for sides in equations],
    }
    times: dict[str, list[float]] = {name: [] for name in jobs}
    said: dict[str, list[bool]] = {}
    for name in [*jobs, *list(jobs) * run.rounds]:  # the first round warms up
        began_s = time.process_time()
        said[name] = jobs[name]()
        times[name].append(time.process_time() - began_s)
    rows: list[list[str]] = []
    for name, measured in times.items():
        per_s = Spread.of([len(equations) / seconds for seconds in measured[1:]])
        ratio = Spread.of([a / b for a, b in zip(measured[1:], times["rung"][1:], strict=True)])
        same = sum(a == b for a, b in zip(said[name], said["rung"], strict=True))
        rows.append([name, per_s.shown(0), ratio.shown(), f"{same} of {len(equations)}"])
    head = ["", "equations a second of processor", "its time / rung's", "says as rung"]
    return table(head, rows)


def _equations(distinct: Sequence[str], count: int) -> tuple[list[str], list[Sides]]:
    """Steps of which rung reads every equation, each with one "=", and the equations' sides."""
    steps, sides = list[str](), list[Sides]()
    for step in distinct[:: max(1, len(distinct) // (4 * count))]:
        spans = [
            step[e.start : e.end] for e in check_step(step).equations if e.is_right is not None
        ]
        halves = [tuple(span.split("=")) for span in spans]
        if halves and len(halves) == len(_by_rung(step)) and all(len(h) == 2 for h in halves):
            steps.append(step)
            sides += [(left, right) for left, right in halves]
        if len(sides) >= count:
            break
    return steps, sides


def _by_rung(step: str) -> list[bool]:
    return [e.is_right is True for e in check_step(step).equations]


def _by_math_verify(left: str, right: str) -> bool:
    from math_verify import parse, verify

    a, b = (parse(side, parsing_timeout=None) for side in (left, right))
    return bool(verify(a, b, timeout_seconds=None))


def _by_sympy(left: str, right: str) -> bool:
    from sympy.parsing.sympy_parser import parse_expr

    try:
        a, b = (parse_expr(_plain(side)) for side in (left, right))
        return bool(a == b or abs(a - b) < 1e-9)
    except Exception:  # it raises many kinds for what it can't read
        return False


def _plain(side: str) -> str:
    """Without what sympy can't read: money signs and thousands commas."""
    return side.replace("$", "").replace(",", "").replace("×", "*").replace("÷", "/")


if __name__ == "__main__":
    try:
        main(tyro.cli(Verify, description=__doc__))
    except RungError as error:
        raise SystemExit(f"verify_arithmetic: {error}") from None
