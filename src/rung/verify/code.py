"""Unit tests as a verifier: does a chain's program pass its problem's tests?

Two sandboxes a program. One holds the program. The other holds the tests, and every call that a
test makes to the program is a message to the first one; what comes back is plain data. So the
verdict is reached where the program is not: it can't be printed, patched, read off or left early
for, and no object that calls itself equal to everything gets across. The price is a second
interpreter a program, and that a test can hand over only data (numbers, text, containers, and
objects that the program itself made).

A program may use the standard library. `if __name__ == "__main__"` is not run, input is empty,
and what it prints is thrown away.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import resources
from typing import Literal

import msgspec

from rung.core import Chain, Problem, RungError, Verdict
from rung.verify.program import program_of
from rung.verify.sandbox import Sandbox, find_sandbox, python_command
from rung.verify.supervise import Limits, Outcome

TEST_TIMEOUT_S = 5.0
"""Seconds for one call of a test to the program."""
START_S = 30.0
"""Seconds that a side may take to start, on a machine that is busy."""
TRIES = 3
"""A sandbox that did not start, for want of processes say, is started again."""
Status = Literal["passed", "failed", "raised", "timeout", "died", "unsendable", "unrun"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """How one test went."""

    __test__ = False  # pytest takes it for a test otherwise
    status: Status
    """passed; failed: a wrong value; raised: the program raised; timeout; died: its process was
    gone; unsendable: the test hands over what can't be; unrun: what came before took all."""
    message: str = ""
    line: int | None = None
    """Where the program raised, was stopped, or (when traced) returned the value; 1-based. The
    program's own process says so, so a hostile program can lie about where, not about whether."""
    spans: tuple[tuple[int, int], ...] = ()
    """When traced: first and last lines of the program's functions that ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReport:
    """What the tests said of one program."""

    verdict: Verdict
    tests: tuple[TestResult, ...] = ()
    load: TestResult | None = None
    """What went wrong before the first test, where something did."""


class _Line(msgspec.Struct):
    """One line of the tests' report."""

    ready: bool | None = None
    status: Status | None = None
    load: Status | None = None
    message: str = ""
    line: int | None = None
    spans: tuple[tuple[int, int], ...] = ()
    unreadable: bool = False


class CodeVerifier:
    """Runs problems' unit tests against chains' programs: a `Verifier`.

    Never raises on a model's text. CORRECT: every test passed. INCORRECT: one failed. TIMEOUT:
    none failed, one could not be finished. UNPARSED: there is no program, or it isn't Python.

    Args:
        sandbox: Where programs run; by default the best that this machine has.
        workers: Programs checked at once; by default one a core, at most 4.
        limits: What the program may use, and what its tests may.
        test_timeout_s: Seconds for one call of a test to the program.
        trace: Also note which functions ran and where values came from, for labels of steps; a
            program that calls much is slower by a factor of two or so.

    Raises:
        RungError: There is no sandbox.
    """

    def __init__(
        self,
        sandbox: Sandbox | None = None,
        *,
        workers: int | None = None,
        limits: Limits | None = None,
        test_timeout_s: float = TEST_TIMEOUT_S,
        trace: bool = False,
    ) -> None:
        self._sandbox = sandbox or find_sandbox()
        self._workers = workers or min(4, os.cpu_count() or 1)
        self._limits = limits or Limits()
        self._test_timeout_s = test_timeout_s
        self._trace = trace

    def verify(self, chains: Sequence[Chain]) -> list[Verdict]:
        """One verdict a chain, in order.

        Raises:
            ValueError: A problem has no tests.
            RungError: The sandbox does not start.
        """
        return [report.verdict for report in self.check(chains)]

    def check(self, chains: Sequence[Chain]) -> list[CodeReport]:
        """One report a chain, in order; errors as `verify`.

        Equal programs with equal tests are run once.
        """
        tasks = [(_tests_of(chain.problem), program_of(chain)) for chain in chains]
        asked = [(tests, None if code is None else code.text) for tests, code in tasks]
        distinct = list(dict.fromkeys(asked))
        with ThreadPoolExecutor(self._workers) as threads:
            reports = dict(zip(distinct, threads.map(self._check, distinct), strict=True))
        return [reports[task] for task in asked]

    def _check(self, task: tuple[tuple[str, ...], str | None]) -> CodeReport:
        tests, text = task
        if text is None:
            return CodeReport(verdict=Verdict.UNPARSED)
        program = text.encode("utf-8", "replace")
        outcome: Outcome | None = None
        for _ in range(TRIES):
            judged, outcome = self._run(program, tests)
            lines = _lines(judged.stderr)
            if lines and lines[0].ready:
                return _report(lines[1:], len(tests))
        assert outcome is not None
        said = outcome.stderr.decode("utf-8", "replace").strip()[-300:]
        raise RungError(
            f"{self._sandbox.name} does not start a program ({outcome.ended}, exit code"
            f" {outcome.exit_code}): {said or 'no word'}"
        )

    def _run(self, program: bytes, tests: tuple[str, ...]) -> tuple[Outcome, Outcome]:
        """Both sides, wired to each other: how the tests' side ended, and the program's."""
        task = {"tests": tests, "limit_s": self._test_timeout_s, "start_s": START_S}
        ours = _box("tests", "main()") | {"tests.json": msgspec.json.encode(task)}
        theirs = _box("program", f"main({self._trace})") | {"program.py": program}
        # the clocks run from before the start, and the tests' side is to end first
        limits = replace(self._limits, wall_s=self._limits.wall_s + START_S)
        longer = replace(limits, wall_s=limits.wall_s + START_S)
        asked, ask = os.pipe()
        told, tell = os.pipe()
        with _beside(
            lambda until: self._sandbox.run(
                theirs, _START, longer, stdin=asked, stdout=tell, until=until
            )
        ) as outcomes:
            judged = self._sandbox.run(ours, _START, limits, stdin=told, stdout=ask)
        return judged, outcomes[0]


_START = python_command("start.py")


def _box(module: str, call: str) -> dict[str, bytes]:
    """The files of one side."""
    folder = resources.files("rung.verify.box")
    start = (
        f"import sys; sys.path.insert(0, '.')\nfrom rung.verify.box.{module} import main\n{call}\n"
    )
    names = ("wire", module)
    files = {f"rung/verify/box/{name}.py": (folder / f"{name}.py").read_bytes() for name in names}
    return files | {"start.py": start.encode()}


@contextlib.contextmanager
def _beside(run: Callable[[int], Outcome]) -> Generator[list[Outcome]]:
    """Run in another thread; it is ended when the block is left. The list then has its outcome."""
    until, end = os.pipe()
    outcomes: list[Outcome] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            outcomes.append(run(until))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield outcomes
    finally:
        os.close(end)
        thread.join()
        os.close(until)
    if failures:
        raise failures[0]


def _tests_of(problem: Problem) -> tuple[str, ...]:
    if not problem.tests:
        raise ValueError(f"problem {problem.id!r} has no tests")
    return problem.tests


def _lines(report: bytes) -> list[_Line]:
    """The whole lines of a report; what stands before it (a warning of bwrap's) is no line."""
    lines: list[_Line] = []
    for line in report.split(b"\n")[:-1]:
        with contextlib.suppress(msgspec.DecodeError, ValueError):
            lines.append(msgspec.json.decode(line, type=_Line))
    return lines


def _report(lines: Sequence[_Line], num_tests: int) -> CodeReport:
    """The verdict: what the lines say; tests without a line were not run."""
    unrun = TestResult(status="unrun")
    if lines and lines[0].load is not None:
        load = TestResult(status=lines[0].load, message=lines[0].message, line=lines[0].line)
        verdict = Verdict.TIMEOUT if load.status == "timeout" else Verdict.INCORRECT
        verdict = Verdict.UNPARSED if lines[0].unreadable else verdict
        return CodeReport(verdict=verdict, tests=(unrun,) * num_tests, load=load)
    results = [
        TestResult(status=line.status, message=line.message, line=line.line, spans=line.spans)
        for line in lines[:num_tests]
        if line.status is not None
    ]
    tests = (*results, *(unrun,) * (num_tests - len(results)))
    return CodeReport(verdict=_verdict([test.status for test in tests]), tests=tests)


def _verdict(statuses: Sequence[Status]) -> Verdict:
    if all(status == "passed" for status in statuses):
        return Verdict.CORRECT
    if any(status in ("failed", "raised", "died") for status in statuses):
        return Verdict.INCORRECT
    return Verdict.TIMEOUT if "unsendable" not in statuses else Verdict.UNPARSED
