"""A few processes with a hard time limit a request; one that was killed is replaced."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Self, cast

from rung.core import RungError
from rung.verify.serving import READY

ORPHAN_GRACE_S = 1.0
"""How much longer than its owner a worker waits before it ends itself."""


class Closing(ABC):
    """Holds processes, which end with a `with` block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End the processes; new ones start if it is used again."""


class Worker:
    """One process. Used by one thread at a time.

    Args:
        module: The module that it runs; it calls `rung.verify.serving.serve`.
        timeout_s: Seconds for one request.
        arguments: Further arguments of the process.

    Raises:
        RungError: The process does not start.
    """

    def __init__(self, module: str, timeout_s: float, arguments: Sequence[str] = ()) -> None:
        self._timeout_s = timeout_s
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(timeout_s + ORPHAN_GRACE_S), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # sympy's order of terms follows hashes: the same verdict every time
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        if self._stdout.readline() != READY:
            self.close()
            command = " ".join(["python -m", module, "1", *arguments])
            raise RungError(f"{module} can't be started; try: {command}")

    @property
    def _stdout(self) -> IO[bytes]:
        return cast("IO[bytes]", self._process.stdout)

    @property
    def is_alive(self) -> bool:
        """Whether it can take another request."""
        return self._process.poll() is None

    def ask(self, request: bytes) -> bytes | None:
        """The reply; None from a process that was not back in time and was killed, or that died."""
        expired = threading.Event()
        killer = threading.Timer(self._timeout_s, self._kill, [expired])
        killer.start()
        try:
            reply = self._reply(request)
        finally:
            killer.cancel()
            killer.join()
        if expired.is_set() or not reply.endswith(b"\n"):
            self._process.kill()
            self._process.wait()
        return reply[:-1] if reply.endswith(b"\n") else None

    def _kill(self, expired: threading.Event) -> None:
        expired.set()
        self._process.kill()

    def _reply(self, request: bytes) -> bytes:
        stdin = cast("IO[bytes]", self._process.stdin)
        try:
            stdin.write(request + b"\n")
            stdin.flush()
            return self._stdout.readline()
        except BrokenPipeError:
            return b""

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._stdout.close()
        with contextlib.suppress(BrokenPipeError):  # it may have died with our last request unread
            cast("IO[bytes]", self._process.stdin).close()


class WorkerPool:
    """Up to `size` workers, started when they are first needed. See `Worker` for the others."""

    def __init__(
        self, module: str, size: int, timeout_s: float, arguments: Sequence[str] = ()
    ) -> None:
        self.size = size
        self._module = module
        self._timeout_s = timeout_s
        self._arguments = arguments
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()

    def ask_all(self, requests: Sequence[bytes]) -> list[bytes | None]:
        """One reply a request (see `Worker.ask`), in order, whatever the number of workers."""
        if not requests:
            return []
        with ThreadPoolExecutor(min(self.size, len(requests))) as threads:
            return list(threads.map(self.ask, requests))

    def ask(self, request: bytes) -> bytes | None:
        """One reply; for at most `size` threads at a time."""
        worker = self._take()
        try:
            return worker.ask(request)
        finally:
            if worker.is_alive:
                self._idle.put(worker)
            else:
                worker.close()

    def close(self) -> None:
        """End all workers."""
        while not self._idle.empty():
            self._idle.get().close()

    def _take(self) -> Worker:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return Worker(self._module, self._timeout_s, self._arguments)
