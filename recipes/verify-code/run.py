"""Put the reference programs of MBPP and HumanEval through the sandbox; measure what a run costs.

See README.md.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

from command import run_command
from pages import made, made_by, put, table, write_results

from rung import Chain
from rung.core import RungError
from rung.data import load
from rung.verify import CodeReport, CodeVerifier, Limits, find_sandbox
from rung.verify.sandbox import python_command

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    files: tuple[Path, ...] = tuple(DATA / f"problems_{n}.jsonl.gz" for n in ("mbpp", "humaneval"))
    """Problems with tests and reference programs."""
    out: Path = Path("runs/verify-code")
    """Where results.json goes."""
    runs: int = 30
    """Of an empty program, bare and in the sandbox."""
    publish: bool = False
    """Put what came out into results.json and README.md beside this file."""


def main(recipe: Recipe) -> None:
    """All files, then the empty program."""
    missing = next((file for file in recipe.files if not file.is_file()), None)
    if missing:
        raise RungError(f"there is no {missing} with problems; --files names some")
    recipe.out.mkdir(parents=True, exist_ok=True)
    results = {
        **made_by("recipes/verify-code/run.py"),
        "sets": [references(file) for file in recipe.files],
        "empty": overhead(recipe.runs),
    }
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        write_results(results, HERE / "results.json")
        put(HERE / "README.md", "results", show(results))


def references(file: Path) -> dict[str, Any]:
    """What became of each reference program of a file."""
    chains: list[Chain] = [record.chain for record in load(str(file))]
    start_s = time.monotonic()
    reports = CodeVerifier().check(chains)
    seconds = time.monotonic() - start_s
    verdicts = Counter(str(report.verdict) for report in reports)
    checked = zip(chains, reports, strict=True)
    return {
        "file": file.name,
        "programs": len(chains),
        "verdicts": dict(verdicts),
        "seconds_a_program": seconds / len(chains),
        "not_correct": [
            f"{chain.problem.id}: {report.verdict} ({_why(report)})"
            for chain, report in checked
            if not report.verdict.is_correct
        ],
    }


def _why(report: CodeReport) -> str:
    bad = [test for test in (report.load, *report.tests) if test and test.status != "passed"]
    return "; ".join(f"{test.status} {test.message or ''}".strip() for test in bad)


def overhead(runs: int) -> dict[str, Any]:
    """What an empty program takes, bare and in the sandbox; medians."""
    sandbox, argv = find_sandbox(), python_command("-c", "pass")
    return {
        "sandbox": sandbox.name,
        "runs": runs,
        "bare_ms": _median_ms(lambda: subprocess.run(argv, check=True, env={}), runs),
        "boxed_ms": _median_ms(lambda: sandbox.run({}, argv, Limits()), runs),
    }


def _median_ms(run: Callable[[], object], runs: int) -> float:
    times: list[float] = []
    for _ in range(runs):
        start_s = time.monotonic()
        run()
        times.append(1000 * (time.monotonic() - start_s))
    return statistics.median(times)


def show(results: Mapping[str, Any]) -> str:
    """The README's part."""
    rows = [
        [
            one["file"].removeprefix("problems_").removesuffix(".jsonl.gz"),
            str(one["programs"]),
            str(one["verdicts"].get("correct", 0)),
            "; ".join(one["not_correct"]) or "none",
            f"{one['seconds_a_program']:.3f}",
        ]
        for one in results["sets"]
    ]
    head = ["problems", "programs", "correct", "others", "seconds a program"]
    empty = results["empty"]
    said = (
        f"An empty program takes {empty['bare_ms']:.0f} ms bare and {empty['boxed_ms']:.0f} ms in"
        f" {empty['sandbox']} (medians of {empty['runs']} runs)."
    )
    return f"{made(results)}\n\n{table(head, rows)}\n\n{said}"


if __name__ == "__main__":
    run_command(main, Recipe, "verify-code", __doc__)
