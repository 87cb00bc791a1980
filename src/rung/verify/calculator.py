"""The calculator on many steps, on several cores."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence

import msgspec

from rung.verify.arithmetic import check_step
from rung.verify.workers import Closing, WorkerPool

CHUNK = 200
"""Steps that a process is given at a time: a twentieth of a second of work."""
TIMEOUT_S = 600.0
"""The calculator takes linear time in a bounded text, so this only ends a machine's trouble."""


class Calculator(Closing):
    """Says of many steps whether their equations are right, as `check_step` does of one.

    Use it as a context manager, or `close` it, to end its processes.

    Args:
        workers: Processes, started when first needed; by default one a core, at most 4. One, or
            few steps, and all is done here. The verdicts don't depend on it.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        self._workers = workers or min(4, os.cpu_count() or 1)
        self._pool = WorkerPool("rung.verify.calculator_worker", self._workers, TIMEOUT_S)
        self._end = weakref.finalize(self, self._pool.close)

    def close(self) -> None:
        """End the processes; new ones start if it is used again."""
        self._pool.close()

    def are_right(self, texts: Sequence[str]) -> list[bool | None]:
        """One verdict a step, in order: its `StepCheck.is_right`."""
        if self._workers == 1 or len(texts) <= 2 * CHUNK:
            return are_right(texts)
        chunks = [texts[at : at + CHUNK] for at in range(0, len(texts), CHUNK)]
        verdicts: list[bool | None] = []
        replies = self._pool.ask_all([msgspec.json.encode(chunk) for chunk in chunks])
        for chunk, reply in zip(chunks, replies, strict=True):
            told = None if reply is None else msgspec.json.decode(reply, type=list[bool | None])
            verdicts += are_right(chunk) if told is None else told
        return verdicts


def are_right(texts: Sequence[str]) -> list[bool | None]:
    """One verdict a step, in order, made in this process."""
    return [check_step(text).is_right for text in texts]
