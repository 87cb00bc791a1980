"""The program that a chain's steps make together, and which step each of its lines is from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rung.core import Chain

MAX_PROGRAM_CHARS = 2**18
"""A longer text is no program; nothing is spent on it."""
_FENCE = re.compile(r"\s*(```|~~~)\s*(\w*)\s*$")
_PYTHON = ("", "python", "py", "python3")


@dataclass(frozen=True, slots=True)
class Program:
    """A program's text. Line n (1-based, as tracebacks count) is from step `steps[n - 1]`."""

    text: str
    steps: tuple[int | None, ...]
    """None for lines that are the question's."""

    def step_of(self, line: int | None) -> int | None:
        """The step (0-based) that a line is from; None for a line that is no step's."""
        if line is None or not 1 <= line <= len(self.steps):
            return None
        return self.steps[line - 1]


def program_of(chain: Chain) -> Program | None:
    """The chain's program; None when its text holds none.

    The steps follow each other, each beginning on a line of its own. Where there are fenced
    blocks, the program is what stands in those of Python. A program whose first line is indented
    goes on from the question, as HumanEval's do.
    """
    lines = [(line, k) for k, text in enumerate(chain.texts) for line in text.splitlines()]
    if any(_FENCE.match(line) for line, _ in lines):
        lines = _fenced(lines)
    first = next((line for line, _ in lines if line.strip()), None)
    if first is None or sum(len(line) for line, _ in lines) > MAX_PROGRAM_CHARS:
        return None
    question: list[str] = chain.problem.question.splitlines() if first[0] in " \t" else []
    text = "\n".join([*question, *(line for line, _ in lines), ""])
    return Program(text, (*(None for _ in question), *(k for _, k in lines)))


def _fenced(lines: list[tuple[str, int]]) -> list[tuple[str, int]]:
    kept: list[tuple[str, int]] = []
    is_code = is_inside = False
    for line, step in lines:
        fence = _FENCE.match(line)
        if fence:
            is_inside = not is_inside
            is_code = is_inside and fence[2].lower() in _PYTHON
        elif is_code:
            kept.append((line, step))
    return kept
