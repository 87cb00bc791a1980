r"""MATH (arXiv 2103.03874): competition problems with a reference solution.

Fields: `problem`, `solution` (its answer in the last `\boxed{}`), `level`, `type`; later copies
add `answer`, `subject` or `unique_id`. https://github.com/hendrycks/math ships one JSON object a
file, in folders; rung reads such a folder as one source.
"""

from __future__ import annotations

import re

import msgspec

from rung.core.types import ChainRecord, Problem
from rung.data.gsm8k import reference
from rung.data.rows import Row, problem_of, rest_of
from rung.data.split import step_texts

FIELDS = ("problem", "solution", "answer", "unique_id")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")


class MathRow(msgspec.Struct):
    """The row as it is published."""

    problem: str
    solution: str
    answer: str | None = None
    unique_id: str | None = None


def problem(row: Row) -> Problem:
    """The problem; its reference answer is the field's, else the last box in the solution."""
    raw = msgspec.convert(row, MathRow)
    answer = last_box(raw.solution) if raw.answer is None else raw.answer
    return problem_of(raw.problem, answer, id=raw.unique_id)


def read(row: Row, steps_by: str = "blank-line") -> ChainRecord:
    """The reference solution as a chain, by default a step a paragraph: right by definition."""
    texts = step_texts(str(row.get("solution", "")), steps_by)
    return reference(problem(row), texts, rest_of(row, *FIELDS))


def last_box(text: str) -> str | None:
    r"""What stands in the last `\boxed{...}` (or `\boxed 5`), braces matched; None without one."""
    matches = list(_BOX.finditer(text))
    if not matches:
        return None
    rest = text[matches[-1].end() :]
    if not rest.startswith("{"):
        return rest.split("$")[0].split()[0] if rest.split("$")[0].split() else None
    depth = 0
    for k, letter in enumerate(rest):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0:
            return rest[1:k].strip()
    return None
