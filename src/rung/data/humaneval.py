"""HumanEval (arXiv 2107.03374): the head of a function with its docstring, and a check.

Fields: `task_id` (or `id`), `prompt`, `entry_point`, `canonical_solution`, `test`.
https://github.com/openai/human-eval

Where we differ: `check` is cut into one test an assertion at its top level, so that a program's
result says which failed; all must pass, so the verdict is the same. And a test brings the prompt's
imports and helper functions itself: some checks call a helper, and a program under test could
write another one in its place.
"""

from __future__ import annotations

import ast

import msgspec

from rung.core.types import ChainRecord, Problem
from rung.data.gsm8k import reference
from rung.data.rows import Row, problem_of, rest_of
from rung.data.split import step_texts

FIELDS = ("prompt", "entry_point", "canonical_solution", "test")


class HumanEvalRow(msgspec.Struct):
    """The row as it is published."""

    prompt: str
    entry_point: str
    canonical_solution: str
    test: str
    task_id: str | None = None
    id: str | None = None


def problem(row: Row) -> Problem:
    """The prompt with its tests.

    Raises:
        ValueError: The prompt lacks the function, or the test is no Python or lacks `check`.
    """
    raw = msgspec.convert(row, HumanEvalRow)
    tests = _tests(raw)
    return problem_of(raw.prompt, id=raw.task_id or raw.id, domain="code", tests=tests)


def read(row: Row, steps_by: str = "function") -> ChainRecord:
    """The prompt with the reference body as a chain: right by definition."""
    raw = msgspec.convert(row, HumanEvalRow)
    texts = step_texts(raw.prompt + raw.canonical_solution, steps_by)
    return reference(problem(row), texts, rest_of(row, "id", "task_id", *FIELDS))


def _tests(raw: HumanEvalRow) -> tuple[str, ...]:
    before, found, _ = raw.prompt.rpartition(f"def {raw.entry_point}(")
    if not found:
        raise ValueError(f"the prompt has no function {raw.entry_point!r}")
    try:
        tree = ast.parse(raw.test)
    except SyntaxError as error:
        raise ValueError(f"the test is no Python ({error})") from error
    check = next(
        (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "check"), None
    )
    if check is None:
        raise ValueError("the test has no function 'check'")
    others = [ast.unparse(node) for node in tree.body if node is not check]
    head = "\n".join([before.strip(), *others]).strip()
    return tuple(
        f"{head}\n{ast.unparse(part)}\ncheck({raw.entry_point})".lstrip() for part in _parts(check)
    )


def _parts(check: ast.FunctionDef) -> list[ast.FunctionDef]:
    """`check` with one of its assertions each, and all that is no assertion before it."""
    ends = [k for k, node in enumerate(check.body) if isinstance(node, ast.Assert)]
    if not ends or ends[-1] != len(check.body) - 1:
        ends.append(len(check.body) - 1)
    parts: list[ast.FunctionDef] = []
    for end in ends:
        body = [n for n in check.body[:end] if not isinstance(n, ast.Assert)] + [check.body[end]]
        part = ast.FunctionDef(check.name, check.args, body, [], None, None)
        parts.append(ast.copy_location(part, check))
    return parts
