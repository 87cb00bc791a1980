"""The process that asks math-verify: a pair a line on stdin, a verdict a line on stdout.

It runs apart so that it can be killed: an answer such as ``9^{9^{9^9}}`` never comes back. It
limits its own memory, and its own time as well in case its owner is killed first.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import Any

import msgspec

from rung.core import Verdict

READY = b"ready\n"
MAX_MEMORY_BYTES = 2 * 2**30


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


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))


def _limit_time(seconds: float) -> None:
    """Let the kernel end this process after `seconds`; 0 calls that off."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def main() -> None:
    """Answer until stdin ends."""
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    time_limit_s = float(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    compare("1", "2")  # loads and warms math-verify, so that no answer pays for it
    answers.write(READY)
    answers.flush()
    for line in sys.stdin.buffer:
        reference, answer = msgspec.json.decode(line, type=tuple[str, str])
        _limit_time(time_limit_s)
        verdict = compare(reference, answer)
        _limit_time(0)
        answers.write(verdict.encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
