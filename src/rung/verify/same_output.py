"""Is what a tool gives now what the step says that it gave?"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

TOLERANCE = 1e-6
"""Relative, of numbers with a fraction; whole numbers must be equal."""


def is_same(output: Any, observation: str) -> bool:
    """Whether a tool's output is what was observed.

    They are compared as JSON where both can be read as such (numbers within a millionth, keys in
    any order), else as text in which every run of spaces and line ends counts as one space.
    """
    texts = {_folded(output if isinstance(output, str) else str(output))}
    if not isinstance(output, str):
        texts.add(_folded(json.dumps(output)))
    if _folded(observation) in texts:
        return True
    try:
        given = json.loads(output) if isinstance(output, str) else output
        return _equal(given, json.loads(observation))
    except (ValueError, RecursionError):
        return False


def _folded(text: str) -> str:
    return " ".join(text.split())


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, float) or isinstance(right, float):
        are_numbers = isinstance(left, int | float) and isinstance(right, int | float)
        return are_numbers and _close(left, right)
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        ours, theirs = cast("Mapping[str, Any]", left), cast("Mapping[str, Any]", right)
        return ours.keys() == theirs.keys() and all(_equal(ours[k], theirs[k]) for k in ours)
    if isinstance(left, list) and isinstance(right, list):
        mine, other = cast("Sequence[Any]", left), cast("Sequence[Any]", right)
        return len(mine) == len(other) and all(map(_equal, mine, other))
    return left == right


def _close(left: float, right: float) -> bool:
    try:
        return math.isclose(left, right, rel_tol=TOLERANCE)
    except OverflowError:  # a whole number beyond all floats
        return False
