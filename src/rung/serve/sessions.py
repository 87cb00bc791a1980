"""Scoring sessions that clients hold by name: a bounded number, and idle ones end."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from fastapi import HTTPException

from rung.serve.shared_scorer import SharedScorer, SharedSession
from rung.serve.worker import FullError


@dataclass(slots=True)
class Held:
    """A client's session."""

    name: str
    owner: str
    """The caller's name; nobody else may use it."""
    session: SharedSession
    used_s: float
    num_busy: int = 0
    """Requests for it that are under way."""


@dataclass(slots=True)
class Sessions:
    """All of them. On the event loop's thread."""

    most: int
    """At once."""
    idle_s: float
    """Unused for so long, a session ends."""
    clock: Callable[[], float] = time.monotonic
    _held: dict[str, Held] = field(default_factory=dict[str, Held])

    def __len__(self) -> int:
        return len(self._held)

    def open(self, owner: str, shared: SharedScorer) -> Held:
        """A new session.

        Raises:
            FullError: There are too many.
        """
        self.expire()
        if len(self._held) >= self.most:
            raise FullError(f"{self.most} sessions are open; close one, or wait until one is idle")
        name = secrets.token_urlsafe(16)
        self._held[name] = Held(name, owner, SharedSession(shared), self.clock())
        return self._held[name]

    @contextlib.contextmanager
    def using(self, owner: str, name: str) -> Generator[Held]:
        """A caller's session, which is not idle meanwhile.

        Raises:
            HTTPException: 404: the caller has none of this name (any more).
        """
        self.expire()
        held = self._held.get(name)
        if held is None or held.owner != owner:
            said = f"no session has this name; unused for {self.idle_s:g} s, one ends"
            raise HTTPException(404, said)
        held.num_busy += 1
        try:
            yield held
        finally:
            held.num_busy -= 1
            held.used_s = self.clock()

    def close(self, held: Held) -> None:
        """End a session; what it holds is let go as soon as its scorer is free."""
        if self._held.pop(held.name, None) is not None:
            held.session.shared.worker.submit(held.session.drop(), must=True)

    def expire(self) -> None:
        """End those that were not used for long."""
        last_s = self.clock() - self.idle_s
        for held in list(self._held.values()):
            if not held.num_busy and held.used_s < last_s:
                self.close(held)
