"""Programs to steps: by function, cell, block or line. Indentation stays.

It goes by lines and reads no syntax, because a program may be wrong and has steps all the same. A
string over several lines may be cut; joined by newlines the steps are the program again, but for
blank lines between steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_DEFINES = re.compile(r"(?:async\s+def|def|class)\b|@")
_CELL = re.compile(r"#\s*%%")
_FENCE = re.compile(r"\s*(?:```|~~~)")
CODE_WAYS = ("function", "cell", "block", "line")


def starts_of(text: str, how: str) -> list[int]:
    """Where the steps begin, as offsets; 0 is not among them."""
    ways = {"function": _functions, "cell": _cells, "block": _blocks, "line": _lines}
    lines = text.splitlines(keepends=True)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))
    return [offsets[k] for k in ways[how](lines) if k]


def _functions(lines: list[str]) -> Iterator[int]:
    """Each function and class at the margin, decorators with it, and each run of other lines."""
    was_definition: bool | None = None
    is_decorated = False
    for k, line in enumerate(lines):
        if not line.strip() or line[0] in " \t)]}":
            continue
        is_definition = _DEFINES.match(line) is not None
        if was_definition is not None and not is_decorated and (is_definition or was_definition):
            yield k
        was_definition, is_decorated = is_definition, line.startswith("@")


def _cells(lines: list[str]) -> Iterator[int]:
    """At each `# %%`, and behind each fenced block: a block goes with the words before it."""
    is_inside = False
    for k, line in enumerate(lines):
        if _FENCE.match(line):
            is_inside = not is_inside
            if not is_inside:
                yield k + 1
        elif _CELL.match(line):
            yield k


def _blocks(lines: list[str]) -> Iterator[int]:
    return (k for k, line in enumerate(lines) if line.strip() and k and not lines[k - 1].strip())


def _lines(lines: list[str]) -> Iterator[int]:
    return (k for k, line in enumerate(lines) if line.strip())
