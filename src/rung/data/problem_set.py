"""Re-encoded problem sets: `id`, `source`, `problem`, `answer`, `solution`, `meta`."""

from __future__ import annotations

from typing import Any

import msgspec

from rung.core.types import ChainRecord, Problem
from rung.data.gsm8k import ANSWER_MARK, reference
from rung.data.rows import Row, problem_of
from rung.data.split import step_texts

FIELDS = frozenset({"id", "source", "problem", "answer", "solution"})


class ProblemSetRow(msgspec.Struct):
    """One problem, perhaps with a reference solution."""

    id: str
    source: str
    problem: str
    answer: str | None
    solution: str | None
    meta: dict[str, Any] = {}


def problem(row: Row) -> Problem:
    """The problem."""
    raw = msgspec.convert(row, ProblemSetRow)
    return problem_of(raw.problem, raw.answer, id=raw.id)


def read(row: Row, steps_by: str | None = None) -> ChainRecord:
    """The reference solution as a chain; by default a step a line for GSM8K, else a paragraph.

    Raises:
        ValueError: There is no solution, so no chain.
    """
    raw = msgspec.convert(row, ProblemSetRow)
    if raw.solution is None:
        raise ValueError("this problem has no solution, so it makes no chain")
    how = steps_by or ("newline" if ANSWER_MARK in raw.solution else "blank-line")
    meta = {"source": raw.source, **raw.meta}
    return reference(problem(row), step_texts(raw.solution, how), meta)
