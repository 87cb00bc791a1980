"""Who waits for a model: a request, or a search with threads of its own; both may go away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import CancelledError
from threading import Lock
from typing import Any, TypeVar

from fastapi import Request

from rung.core.errors import UnavailableError
from rung.serve.worker import Job, Worker

T = TypeVar("T")


class GoneError(UnavailableError):
    """The client went away: nobody waits for the answer."""

    def __init__(self) -> None:
        super().__init__("the client went away")


async def while_here(request: Request, awaited: Awaitable[T]) -> T:
    """What is awaited, unless the client goes away first; then that is cancelled.

    The request's body must have been read.

    Raises:
        GoneError: It went away.
    """
    result = asyncio.ensure_future(awaited)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((result, gone), return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise GoneError
        return result.result()
    finally:
        gone.cancel()
        result.cancel()


async def done_for(request: Request, worker: Worker, job: Job) -> Any:
    """What a job gives. It is taken back when the client goes away.

    Raises:
        GoneError: It went away.
        UnavailableError: The queue is full, or the server stops.
    """
    future = worker.submit(job)
    try:
        return await while_here(request, asyncio.wrap_future(future))
    finally:
        worker.take_back(job)


class Visitor:
    """One who asks workers from threads and waits there, and can leave at any time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[Job, Worker] = {}
        self._has_left = False
        self.error: Exception | None = None
        """What the first job that failed failed with."""

    def ask(self, worker: Worker, job: Job) -> Any:
        """What a job gives; blocks. A full queue takes it all the same: a search has begun.

        Raises:
            GoneError: The visitor has left.
        """
        with self._lock:
            if self._has_left:
                raise GoneError
            self._waiting[job] = worker
        try:
            return worker.submit(job, must=True).result()
        except CancelledError:
            raise GoneError from None
        except Exception as error:
            self.error = self.error or error
            raise
        finally:
            with self._lock:
                self._waiting.pop(job, None)

    def leave(self) -> None:
        """Take back all that waits, and ask no more."""
        with self._lock:
            self._has_left = True
            waiting = dict(self._waiting)
        for job, worker in waiting.items():
            worker.take_back(job)
