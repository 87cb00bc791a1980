"""Two threads that work while the main one decides: one samples, one scores."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from rung.search.job import Job


class Call(NamedTuple):
    """Work for a lane, and what is done with what it gives, on the main thread."""

    work: Callable[[], Any]
    then: Callable[[Any], None]
    jobs: list[Job]
    """Those that end when it fails."""


@dataclass(slots=True)
class Lane:
    """One thread and the call that it is busy with."""

    pool: ThreadPoolExecutor
    next_call: Callable[[], Call | None]
    future: Future[tuple[Any, float]] | None = None
    busy_s: float = 0.0
    _call: Call | None = None

    def feed(self) -> None:
        """Begin the next call, unless one is under way."""
        if self.future is None and (call := self.next_call()) is not None:
            self._call, self.future = call, self.pool.submit(_timed, call.work)

    def collect(self, fail: Callable[[list[Job], Exception], None]) -> None:
        """Hand over what the call gave, if it is over."""
        if self.future is None or not self.future.done():
            return
        call, future = self._call, self.future
        assert call is not None
        self._call = self.future = None
        try:
            found, took_s = future.result()
        except Exception as error:
            fail(call.jobs, error)
            return
        self.busy_s += took_s
        call.then(found)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began_s = time.monotonic()
    return work(), time.monotonic() - began_s
