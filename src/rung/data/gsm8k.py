"""GSM8K (arXiv 2110.14168): word problems with a reference solution.

Fields: `question` and `answer`. The answer is the solution, one step a line, with the calculator
annotations `<<48/2=24>>` in it, and ends in `#### 72`:
https://github.com/openai/grade-school-math/blob/3101c7d5072418e28b9008a6636bde82a006892c/README.md
The annotations stay in the steps' text; `rung.verify` checks them.
"""

from __future__ import annotations

import msgspec

from rung.core.types import Chain, ChainRecord, Problem, Provenance, Verdict
from rung.data.rows import Row, problem_of, rest_of
from rung.data.split import step_texts

FIELDS = ("question", "answer")
ANSWER_MARK = "####"


class Gsm8kRow(msgspec.Struct):
    """The row as it is published."""

    question: str
    answer: str


def problem(row: Row) -> Problem:
    """The problem with the number behind `####` as its reference answer.

    Raises:
        ValueError: There is no `####`.
    """
    raw = msgspec.convert(row, Gsm8kRow)
    return problem_of(raw.question, final_number(raw.answer))


def read(row: Row, steps_by: str = "newline") -> ChainRecord:
    """The reference solution as a chain: right by definition, its steps labeled by nobody."""
    raw = msgspec.convert(row, Gsm8kRow)
    return reference(problem(row), step_texts(raw.answer, steps_by), rest_of(row, *FIELDS))


def final_number(solution: str) -> str:
    """What stands behind the last `####`, without thousands separators."""
    _, found, tail = solution.rpartition(ANSWER_MARK)
    if not found:
        raise ValueError(f"the answer has no final {ANSWER_MARK!r} line")
    return tail.strip().replace(",", "")


def reference(problem: Problem, texts: list[str], meta: Row) -> ChainRecord:
    """A problem set's own solution as a record."""
    source = Provenance(policy="reference")
    chain = Chain.of(problem, texts, answer=problem.answer, source=source)
    return ChainRecord(chain, outcome=Verdict.CORRECT, meta=meta)
