"""Step labels for programs, from unit tests: which step of a failing program fails first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rung.core import Chain, ChainRecord, StepLabels, Verdict
from rung.verify.code import CodeReport, CodeVerifier, TestResult
from rung.verify.program import Program, program_of


@dataclass(frozen=True, slots=True)
class CodeLabeler:
    """A `Labeler` for chains whose steps are pieces of a program (see `labels_of`).

    Args:
        verifier: Runs the tests; made with `trace=True` it also finds the steps that returned a
            wrong value, and those that were tried alone.
        source: The name under which the labels are kept.
    """

    verifier: CodeVerifier
    source: str = "code"

    def label(self, chains: Sequence[Chain]) -> list[StepLabels]:
        """One `StepLabels` a chain, in order.

        Raises:
            ValueError: A problem has no tests.
            RungError: The sandbox does not start.
        """
        reports = self.verifier.check(chains)
        return [
            StepLabels(labels_of(chain, report), self.source)
            for chain, report in zip(chains, reports, strict=True)
        ]

    def judge(self, records: Sequence[ChainRecord]) -> list[ChainRecord]:
        """The records with labels and outcomes from one run of each program.

        What became of each test stands in `meta`, as `tests_told` tells it. A record whose problem
        has no tests stays as it is.
        """
        tried = [k for k, record in enumerate(records) if record.chain.problem.tests]
        reports = self.verifier.check([records[k].chain for k in tried])
        judged = list(records)
        for k, report in zip(tried, reports, strict=True):
            record = records[k]
            labels = StepLabels(labels_of(record.chain, report), self.source)
            judged[k] = replace(
                record.with_labels(labels),
                outcome=report.verdict,
                meta={**record.meta, f"{self.source}_tests": tests_told(record.chain, report)},
            )
        return judged


def tests_told(chain: Chain, report: CodeReport) -> list[dict[str, Any]]:
    """What became of each test, in order, as JSON: `status`, and `message`, `line` and `step`.

    The line is the whole program's, the step the one that it is from; both from 1, and left out
    where they are not known. Where the program could not be loaded, one more row before the tests'
    says why, with `"test": null`; tests count from 1.
    """
    program = program_of(chain)
    rows = [] if report.load is None else [(None, report.load)]
    rows += [(number, test) for number, test in enumerate(report.tests, start=1)]
    return [{"test": number, **_told(program, test)} for number, test in rows]


def _told(program: Program | None, test: TestResult) -> dict[str, Any]:
    step = None if program is None else program.step_of(test.line)
    told = {
        "status": test.status,
        "message": test.message or None,
        "line": test.line,
        "step": None if step is None else step + 1,
    }
    return {name: value for name, value in told.items() if value is not None}


def labels_of(chain: Chain, report: CodeReport) -> tuple[float | None, ...]:
    """What a report says of each step.

    - The program passed: 1 for every step with a line of it. (A line that no test reaches is
      among them: the tests are the measure.)
    - It did not: 0 for the earliest step where a failure shows, and None behind it. A failure
      shows in the innermost line of the program when it raised; in the line that returned the
      value when the value was wrong; in the last step when no line is known (a function that
      isn't there, a process that is gone). The mistake itself is there or before.
    - Before that step: 1 where a test passed that ran no function of another step, else None.
      So a mistake is never called right because it showed late.
    - The time was up and no test failed: None for all, nothing was found out.
    - It is no Python: 0 for the step that can't be read, None for the others.

    Lines come from the program's own process. A hostile program can shift the blame to another of
    its steps; it can't turn a failure into a pass.
    """
    num_steps = len(chain.steps)
    program = program_of(chain)
    if program is None or report.verdict is Verdict.TIMEOUT:
        return (None,) * num_steps
    own = {step for step in program.steps if step is not None}
    if report.verdict is Verdict.CORRECT:
        return tuple(1.0 if k in own else None for k in range(num_steps))
    failing = _first_failing(program, report, max(own))
    alone = _tried_alone(program, report.tests)
    labels = [1.0 if k in alone else None for k in range(failing)]
    return (*labels, 0.0, *(None,) * (num_steps - failing - 1))


def _first_failing(program: Program, report: CodeReport, last: int) -> int:
    bad = [test for test in report.tests if test.status in ("failed", "raised", "died")]
    if report.load is not None:
        bad = [report.load]
    steps = [program.step_of(test.line) for test in bad]
    return min((step for step in steps if step is not None), default=last)


def _tried_alone(program: Program, tests: Sequence[TestResult]) -> set[int]:
    """Steps whose functions a passing test ran, and no function of another step."""
    alone: set[int] = set()
    for test in tests:
        steps = {
            program.step_of(line) for first, end in test.spans for line in range(first, end + 1)
        }
        steps.discard(None)
        if test.status == "passed" and len(steps) == 1:
            alone |= {step for step in steps if step is not None}
    return alone
