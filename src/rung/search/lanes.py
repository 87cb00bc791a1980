"""Two threads that work while the main one decides: one samples, one scores."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rung.core.errors import UnavailableError

MOST_FAILURES = 2
"""Calls in a row for which a service is away before it counts as gone; each has been patient."""


class Call(NamedTuple):
    """Work for a lane, and what is done with what it gives, on the main thread."""

    work: Callable[[], Any]
    then: Callable[[Any], None]
    fail: Callable[[Exception], None]
    """What is done when it raises."""


@dataclass(slots=True)
class Lane:
    """One thread and the call that it is busy with."""

    pool: ThreadPoolExecutor
    next_call: Callable[[], Call | None]
    future: Future[tuple[Any, float]] | None = None
    busy_s: float = 0.0
    _call: Call | None = None
    _away: list[UnavailableError] = field(default_factory=list[UnavailableError])
    """Of the last calls."""

    def feed(self) -> None:
        """Begin the next call, unless one is under way. A service that is gone is not called."""
        if self.future is None and (call := self.next_call()) is not None:
            work = self._refuse if len(self._away) >= MOST_FAILURES else call.work
            self._call, self.future = call, self.pool.submit(_timed, work)

    def collect(self) -> None:
        """Hand over what the call gave, if it is over."""
        if self.future is None or not self.future.done():
            return
        call, future = self._call, self.future
        assert call is not None
        self._call = self.future = None
        try:
            found, took_s = future.result()
        except Exception as error:
            self._away = [*self._away, error] if isinstance(error, UnavailableError) else []
            call.fail(error)
            return
        self._away = []
        self.busy_s += took_s
        call.then(found)

    def _refuse(self) -> Any:
        raise self._away[0]


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began_s = time.monotonic()
    return work(), time.monotonic() - began_s
