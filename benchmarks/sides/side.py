"""A side of a benchmark: a process that does one job again and again when it is told to.

Standard library only, since each side has the Python of its own program. The parent (`common.Side`)
sends one line of JSON a job and reads one line of JSON back, through a pipe of their own, since
many libraries print.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

Job = dict[str, Any]


class Clock:
    """Adds up the time of stretches, by the wall and by the processor."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0
        self.restart()

    def restart(self) -> None:
        """A stretch begins."""
        self._began = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """It is over, and the next one begins."""
        began_s, began_cpu_s = self._began
        self.restart()
        self.seconds += self._began[0] - began_s
        self.cpu_seconds += self._began[1] - began_cpu_s


class Memory:
    """Looks now and then how much memory the process has, until it is asked for the most."""

    EVERY_S = 0.05

    def __init__(self) -> None:
        self._most = _resident_bytes()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def peak(self) -> int:
        """The most that was seen, in bytes."""
        self._is_over.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._is_over.wait(self.EVERY_S):
            self._most = max(self._most, _resident_bytes())


def settings() -> Job:
    """What the parent says on the command line: one JSON object."""
    return json.loads(sys.argv[1])


def serve(do: Callable[[Job], Job]) -> None:
    """Answer jobs until standard input ends: `do`'s answer and what it cost."""
    answers = os.fdopen(settings()["answers"], "w", encoding="utf-8")
    _answer(answers, {"is_ready": True})
    for line in sys.stdin:
        job, clock, memory = json.loads(line), Clock(), Memory()
        answer = do(job)
        clock.stop()
        cost = {
            "seconds": clock.seconds,
            "cpu_seconds": clock.cpu_seconds,
            "peak_bytes": memory.peak(),
        }
        _give_memory_back()
        _answer(answers, cost | answer)


def _give_memory_back() -> None:
    """Return what a job has freed to the system: the next one would be charged for it."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # glibc


def _resident_bytes() -> int:
    """The process's memory now."""
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize()


def _answer(answers: TextIO, answer: Job) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
