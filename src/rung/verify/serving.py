"""The loop of a process that does what may never come back: a request a line, a reply a line.

Such a process runs apart so that it can be killed (`rung.verify.workers`). It limits its own
memory, and its own time as well in case its owner is killed first.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable

READY = b"ready\n"
MAX_MEMORY_BYTES = 2 * 2**30


def serve(
    answer: Callable[[bytes], bytes],
    warm_up: Callable[[], object],
    memory_bytes: int | None = MAX_MEMORY_BYTES,
) -> None:
    """Answer until stdin ends. The first argument of the process is the time limit in seconds.

    Args:
        answer: A request to its reply, both without line ends. It must not raise.
        warm_up: Loads what is slow to load, so that no request pays for it.
        memory_bytes: Address space that the process may have; None: as much as it likes.
    """
    # what the work prints is no reply
    replies, sys.stdout = sys.stdout.buffer, sys.stderr
    time_limit_s = float(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if memory_bytes is not None:
        _limit_memory(memory_bytes)
    warm_up()
    replies.write(READY)
    replies.flush()
    for request in sys.stdin.buffer:
        _limit_time(time_limit_s)
        reply = answer(request.rstrip(b"\n"))
        _limit_time(0)
        replies.write(reply + b"\n")
        replies.flush()


def _limit_memory(num_bytes: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (num_bytes, num_bytes))


def _limit_time(seconds: float) -> None:
    """Let the kernel end this process after `seconds`; 0 calls that off."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
