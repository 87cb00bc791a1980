"""The process that asks math-verify: a pair a line on stdin, a verdict a line on stdout.

It runs apart so that it can be killed: an answer such as ``9^{9^{9^9}}`` never comes back.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rung.core import Verdict
from rung.verify.serving import serve


def compare(reference: str, answer: str) -> Verdict:
    """Whether two normalized answers are the same mathematics. Never raises."""
    try:
        gold, target = _parse(reference), _parse(answer)
        if not gold or not target:
            return Verdict.UNPARSED
        # math-verify's rules for equations and intervals depend on the side, so both are tried
        same = _equal(gold, target) or _equal(target, gold)
    except (RecursionError, MemoryError, OverflowError):
        return Verdict.TIMEOUT
    return Verdict.CORRECT if same else Verdict.INCORRECT


def _parse(answer: str) -> list[Any]:
    from math_verify import LatexExtractionConfig, parse

    return parse(
        f"\\boxed{{{answer}}}",
        [LatexExtractionConfig(boxed_match_priority=0)],
        fallback_mode="no_fallback",  # all of the answer or nothing: not a number inside it
        parsing_timeout=None,  # pyright: ignore[reportArgumentType]
    )


def _equal(gold: list[Any], target: list[Any]) -> bool:
    from math_verify import verify

    try:
        return verify(gold, target, timeout_seconds=None, raise_on_error=True)
    except (RecursionError, MemoryError, OverflowError):
        raise
    except Exception:  # sympy raises many kinds for things that can't be compared, such as sets
        return False


def _answer(request: bytes) -> bytes:
    return compare(*msgspec.json.decode(request, type=tuple[str, str])).encode()


if __name__ == "__main__":
    serve(_answer, warm_up=lambda: compare("1", "2"))
