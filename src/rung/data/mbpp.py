"""MBPP (arXiv 2108.07732): small tasks with a reference program and assertions.

Fields: `text` (or `prompt`, in the sanitized part, or `problem`), `code`, `test_list`, and
`test_setup_code` (or `test_imports`). https://github.com/google-research/google-research/tree/master/mbpp
`challenge_test_list` is kept in `meta`: the paper's scores don't use it.
"""

from __future__ import annotations

import msgspec

from rung.core.types import ChainRecord, Problem
from rung.data.gsm8k import reference
from rung.data.rows import Row, problem_of, rest_of
from rung.data.split import step_texts

QUESTIONS = ("text", "prompt", "problem")
FIELDS = (*QUESTIONS, "id", "task_id", "code", "test_list", "test_setup_code", "test_imports")


class MbppRow(msgspec.Struct):
    """The row as it is published, in either part."""

    code: str
    test_list: list[str]
    task_id: int | None = None
    id: str | None = None
    test_setup_code: str = ""
    test_imports: list[str] = []


def detects(row: Row) -> bool:
    """Whether this looks like a row of MBPP."""
    return {"code", "test_list"} <= set(row) and any(name in row for name in QUESTIONS)


def problem(row: Row) -> Problem:
    """The task, with one test an assertion, each behind the set-up code.

    The question is the task's text alone. Whoever prompts a model with it adds a test, as the
    paper does: without one the function's name is anybody's guess.
    """
    raw = msgspec.convert(row, MbppRow)
    question = next(str(row[name]) for name in QUESTIONS if name in row)
    setup = [line for line in (*raw.test_imports, raw.test_setup_code) if line.strip()]
    tests = tuple("\n".join([*setup, test]) for test in raw.test_list)
    name = raw.id or (None if raw.task_id is None else f"mbpp-{raw.task_id}")
    return problem_of(question, id=name, domain="code", tests=tests)


def read(row: Row, steps_by: str = "function") -> ChainRecord:
    """The reference program as a chain: right by definition."""
    raw = msgspec.convert(row, MbppRow)
    texts = step_texts(raw.code.replace("\r\n", "\n"), steps_by)
    return reference(problem(row), texts, rest_of(row, *FIELDS))
