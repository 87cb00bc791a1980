"""All ratings, worked out from the events, and brought forward by those that came since.

The events stay what counts: what is kept here can be thrown away at any time. Two servers on one
database each keep their own. Where transactions write side by side, an event may be seen after
others of a higher number; so the events up to the last one that was seen are counted each time, and
all are read again when there are others than before.
"""

from __future__ import annotations

import threading

from sqlalchemy import Connection

from rung.label.human import Work, work_of
from rung.label.rating_records import Ratings, ratings_of
from rung.store.events import count_events, events_after
from rung.store.values import Saved


class RatingFold:
    """What `all_ratings` gives, from the second time on at the price of what is new."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._forget()

    def ratings(self, connection: Connection) -> Ratings:
        """Everything that people said, as this connection sees it."""
        with self._turn:
            if count_events(connection, up_to=self._seen) != self._number:
                self._forget()
            changed: set[tuple[int, str]] = set()
            for one in events_after(connection, self._seen):
                changed.add(self._add(one))
            for key in changed:
                self._works[key] = work_of(self._events[key])
            return ratings_of(connection, dict(self._works))

    def _add(self, one: Saved) -> tuple[int, str]:
        key = one.person, one.event.chain
        self._events.setdefault(key, []).append(one)
        self._number, self._seen = self._number + 1, one.seq
        return key

    def _forget(self) -> None:
        self._events: dict[tuple[int, str], list[Saved]] = {}
        self._works: dict[tuple[int, str], Work] = {}
        self._number, self._seen = 0, 0
