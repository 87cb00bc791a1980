"""A few math-verify processes with a hard time limit; one that was killed is replaced."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, cast

import msgspec

from rung.core import RungError, Verdict
from rung.verify.math_worker import READY

ORPHAN_GRACE_S = 1.0
"""How much longer than its owner a worker waits before it ends itself."""

Pair = tuple[str, str]


class Worker:
    """One process. Used by one thread at a time.

    Raises:
        RungError: The process does not start.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rung.verify.math_worker", str(timeout_s + ORPHAN_GRACE_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # sympy's order of terms follows hashes: the same verdict every time
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        if self._stdout.readline() != READY:
            self.close()
            raise RungError(
                "math-verify can't be started; try: python -m rung.verify.math_worker 1"
            )

    @property
    def _stdout(self) -> IO[bytes]:
        return cast("IO[bytes]", self._process.stdout)

    @property
    def is_alive(self) -> bool:
        """Whether it can take another pair."""
        return self._process.poll() is None

    def compare(self, pair: Pair) -> Verdict:
        """Ask; a process that is not back in time is killed, and the verdict is TIMEOUT."""
        expired = threading.Event()
        killer = threading.Timer(self._timeout_s, self._kill, [expired])
        killer.start()
        try:
            reply = self._ask(pair)
        finally:
            killer.cancel()
            killer.join()
        if expired.is_set() or not reply:
            self._process.kill()
            self._process.wait()
        return Verdict(reply.decode().strip()) if reply else Verdict.TIMEOUT

    def _kill(self, expired: threading.Event) -> None:
        expired.set()
        self._process.kill()

    def _ask(self, pair: Pair) -> bytes:
        stdin = cast("IO[bytes]", self._process.stdin)
        try:
            stdin.write(msgspec.json.encode(pair) + b"\n")
            stdin.flush()
            return self._stdout.readline()
        except BrokenPipeError:
            return b""

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._stdout.close()
        with contextlib.suppress(BrokenPipeError):  # it may have died with our last pair unread
            cast("IO[bytes]", self._process.stdin).close()


class WorkerPool:
    """Up to `size` workers, started when they are first needed."""

    def __init__(self, size: int, timeout_s: float) -> None:
        self._size = size
        self._timeout_s = timeout_s
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()

    def compare(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """One verdict a pair, in order, whatever the number of workers."""
        if not pairs:
            return []
        with ThreadPoolExecutor(min(self._size, len(pairs))) as threads:
            return list(threads.map(self._compare, pairs))

    def close(self) -> None:
        """End all workers."""
        while not self._idle.empty():
            self._idle.get().close()

    def _compare(self, pair: Pair) -> Verdict:
        worker = self._take()
        try:
            return worker.compare(pair)
        finally:
            if worker.is_alive:
                self._idle.put(worker)
            else:
                worker.close()

    def _take(self) -> Worker:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return Worker(self._timeout_s)
