"""Put the reference programs of MBPP and HumanEval through the sandbox; measure what a run costs.

python recipes/verify-code/run.py ../shared/data/problems_mbpp.jsonl.gz ...
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rung import Chain
from rung.data import load
from rung.verify import CodeVerifier, Limits, find_sandbox
from rung.verify.sandbox import python_command

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FILES = [DATA / f"problems_{name}.jsonl.gz" for name in ("mbpp", "humaneval")]
RUNS = 30


def main(files: list[str]) -> None:
    for file in files:
        references(file)
    overhead()


def references(file: str) -> None:
    chains: list[Chain] = [record.chain for record in load(file)]
    start_s = time.monotonic()
    reports = CodeVerifier().check(chains)
    seconds = time.monotonic() - start_s
    verdicts = Counter(str(report.verdict) for report in reports)
    print(f"{file}: {len(chains)} programs, {dict(verdicts)}, {seconds / len(chains):.3f} s each")
    for chain, report in zip(chains, reports, strict=True):
        if not report.verdict.is_correct:
            bad = [(t.status, t.message) for t in report.tests if t.status != "passed"]
            print(f"  {chain.problem.id}: {report.verdict} {report.load or bad}")


def overhead() -> None:
    sandbox, argv = find_sandbox(), python_command("-c", "pass")
    bare = timed(lambda: subprocess.run(argv, check=True, env={}))
    boxed = timed(lambda: sandbox.run({}, argv, Limits()))
    print(
        f"an empty program: {bare:.1f} ms bare, {boxed:.1f} ms in {sandbox.name} (median of {RUNS})"
    )


def timed(run: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(RUNS):
        start_s = time.monotonic()
        run()
        times.append(1000 * (time.monotonic() - start_s))
    return statistics.median(times)


if __name__ == "__main__":
    main(sys.argv[1:] or [str(path) for path in FILES])
