"""A step, or an answer, of digits without end: no verifier reads it, raises, or takes long.

32 MiB here; a gigabyte takes the same path, where the length is all that is looked at.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest

from rung import Chain, Problem, Verdict
from rung.data.lab import Lab, make_problems
from rung.label import LabLabeler
from rung.verify import (
    AlgebraChecker,
    AnswerVerifier,
    Calculator,
    CodeVerifier,
    LocalSandbox,
    ProofVerifier,
    ToolVerifier,
)

DIGITS = "7" * 2**25
STORY = next(make_problems(Lab(num_steps=2), 1, seed=0))


def problem(**fields: Any) -> Problem:
    return Problem("p", "How many?", **fields)


def answers() -> list[Verdict]:
    chains = [
        Chain.of(problem(answer="7"), [DIGITS]),
        Chain.of(problem(answer="7"), ["Many."], answer=DIGITS),
    ]
    with AnswerVerifier(workers=1) as verifier:
        return verifier.verify(chains)


def calculated() -> list[bool | None]:
    with Calculator(workers=2) as calculator:
        return calculator.are_right([DIGITS, f"{DIGITS} = 1", "3 + 4 = 7"])


def solved() -> list[bool | None]:
    with AlgebraChecker(workers=1) as checker:
        return [c.is_right for c in checker.check([DIGITS, f"x = {DIGITS}x + 1", "3 + 4 = 7"])]


def proved() -> tuple[float | None, ...]:
    chain = Chain.of(problem(premises=("x > 1",)), [DIGITS, f"x > {DIGITS}", f"`x > {DIGITS}`"])
    with ProofVerifier(workers=1) as verifier:
        return verifier.check([chain])[0].labels


def replayed() -> tuple[float | None, ...]:
    call = f'{{"name": "root", "arguments": {{"x": {DIGITS}}}}}'
    with ToolVerifier({"root": "math:sqrt"}, workers=1) as verifier:
        return verifier.check([Chain.of(problem(), [DIGITS, call])])[0].labels


def run() -> list[Verdict]:
    chain = Chain.of(problem(tests=("assert double(2) == 4",)), [DIGITS])
    return CodeVerifier(LocalSandbox(), workers=1).verify([chain])


def followed() -> list[Verdict]:
    return LabLabeler().verify([Chain.of(STORY, ["Many."], answer=DIGITS)])


@pytest.mark.parametrize(
    ("verify", "found"),
    [
        (answers, [Verdict.UNPARSED, Verdict.UNPARSED]),
        (calculated, [None, None, True]),
        (solved, [None, None, True]),
        (proved, (None, None, None)),
        (replayed, (None, None)),
        (run, [Verdict.UNPARSED]),
        (followed, [Verdict.INCORRECT]),
    ],
)
def test_digits_without_end_are_no_verdict_and_cost_little(verify: Callable[[], Any], found: Any):
    started_s = time.process_time()
    assert verify() == found
    assert time.process_time() - started_s < 5
