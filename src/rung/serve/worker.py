"""One thread that owns a model: what many requests ask of it waits in a queue and is done together.

Jobs of one kind that wait are done in one call, up to a budget; the first of the queue is always
among them, so nobody waits for ever. Who goes away takes back what has not begun. A job that fails
in a batch is tried again alone, so that it spoils no other.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

from rung.core.errors import UnavailableError


class FullError(UnavailableError):
    """Too much waits already."""


@dataclass(eq=False, slots=True, kw_only=True)
class Job:
    """Something asked of a model."""

    kind: Hashable
    """Jobs of one kind can be done in one call."""
    asked: Any
    size: int
    """In the unit of the worker's budget."""
    names: frozenset[str] = frozenset()
    """Two jobs with a name in common are done one after the other."""
    future: Future[Any] = field(default_factory=Future[Any])


Do = Callable[[Any, list[Any]], Sequence[Any]]
"""From a kind and what its jobs ask to what they get, in order; an exception in a place is that
job's alone."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a worker has done in one call, for who counts."""

    worker: str
    num_jobs: int
    size: int
    seconds: float


class Worker:
    """The thread and its queue.

    Args:
        name: For errors and metrics.
        do: Does jobs of one kind; is called on the thread alone.
        batch_size: The budget of a call; one larger job is done by itself.
        max_waiting: Jobs in the queue.
        counted: Is told of every batch.
    """

    def __init__(
        self,
        name: str,
        do: Do,
        *,
        batch_size: int,
        max_waiting: int,
        counted: Callable[[Batch], None] | None = None,
    ) -> None:
        self.name = name
        self._do, self._batch_size, self._max_waiting = do, batch_size, max_waiting
        self._counted = counted
        self._jobs: deque[Job] = deque()
        self._changed = Condition()
        self._is_closed = False
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return len(self._jobs)

    def submit(self, job: Job, *, must: bool = False) -> Future[Any]:
        """Put a job into the queue.

        Args:
            job: A new one.
            must: Take it even if the queue is full: work that has begun elsewhere goes on.

        Raises:
            FullError: The queue is full.
            UnavailableError: The worker is closed.
        """
        with self._changed:
            if self._is_closed:
                raise UnavailableError("the server is stopping")
            if not must and len(self._jobs) >= self._max_waiting:
                raise FullError(f"{self.name}: {len(self._jobs)} requests wait already")
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def take_back(self, job: Job) -> None:
        """Forget a job that has not begun; nothing, if it has."""
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
        job.future.cancel()

    def close(self) -> None:
        """End the call that is under way, refuse what waits, and stop."""
        with self._changed:
            self._is_closed = True
            left = list(self._jobs)
            self._jobs.clear()
            self._changed.notify()
        for job in left:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(UnavailableError("the server is stopping"))
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            began_s = time.monotonic()
            self._work(batch)
            if self._counted is not None:
                size = sum(job.size for job in batch)
                took_s = time.monotonic() - began_s
                self._counted(Batch(self.name, len(batch), size, took_s))

    def _take(self) -> list[Job]:
        """The first job and all that can be done with it; nothing when the worker is closed."""
        with self._changed:
            while not (batch := self._together()):
                if self._is_closed:
                    return []
                self._changed.wait()
            return batch

    def _together(self) -> list[Job]:
        batch, later, room = list[Job](), list[Job](), self._batch_size
        names, passed = set[str](), set[str]()
        while self._jobs and (room > 0 or not batch):
            job = self._jobs.popleft()
            fits = not batch or (job.kind == batch[0].kind and job.size <= room)
            if not fits or job.names & (names | passed):
                later.append(job)
                passed |= job.names  # what comes behind it for the same names stays behind it
            elif job.future.set_running_or_notify_cancel():
                batch.append(job)
                names |= job.names
                room -= job.size
        self._jobs.extendleft(reversed(later))
        return batch

    def _work(self, batch: Sequence[Job]) -> None:
        try:
            found = self._do(batch[0].kind, [job.asked for job in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for job in batch:
                self._work([job])
            return
        for job, one in zip(batch, found, strict=True):
            if isinstance(one, Exception):
                job.future.set_exception(one)
            else:
                job.future.set_result(one)
