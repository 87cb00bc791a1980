"""What a search may spend, and what it has spent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal

from rung.core.errors import RungError

Reason = Literal["done", "tokens", "calls", "seconds", "money", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Money for a million tokens, in any currency."""

    sampled: float = 0.0
    scored: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that one search may spend; None sets no limit.

    Raises:
        RungError: A limit is not above 0.
    """

    tokens: int | None = None
    """Sampled and scored together."""
    calls: int | None = None
    """Continuations that the policy writes."""
    money: float | None = None
    """By `Prices`."""
    seconds: float | None = None
    """Of the whole run, by the clock: the only limit that a rerun may reach elsewhere."""

    def __post_init__(self) -> None:
        for name in ("tokens", "calls", "money", "seconds"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise RungError(f"the budget of {name} is {limit}, expected above 0")


@dataclass(slots=True)
class Spent:
    """What one search has spent. What a log had counts like what is new."""

    tokens_sampled: int = 0
    tokens_scored: int = 0
    """Of the policy's tokens, those in steps that were scored, each step once."""
    calls: int = 0

    @property
    def tokens(self) -> int:
        """Sampled and scored."""
        return self.tokens_sampled + self.tokens_scored

    def money(self, prices: Prices) -> float:
        """What the tokens cost."""
        return (self.tokens_sampled * prices.sampled + self.tokens_scored * prices.scored) / 1e6

    def room(
        self, budget: Budget, prices: Prices, *, is_scored: bool
    ) -> tuple[int | None, Reason | None]:
        """Tokens that may still be sampled, if each is scored too or not; None: no limit.

        At 0 the second value says which limit is reached.
        """
        rooms: list[tuple[int, Reason]] = []
        if budget.calls is not None and self.calls >= budget.calls:
            rooms.append((0, "calls"))
        if budget.tokens is not None:
            rooms.append(((budget.tokens - self.tokens) // (1 + is_scored), "tokens"))
        price = prices.sampled + prices.scored * is_scored
        if budget.money is not None and price:
            left = budget.money - self.money(prices)
            rooms.append((math.floor(left * 1e6 / price), "money"))
        if not rooms:
            return None, None
        room, limit = min(rooms, key=itemgetter(0))
        return (room, None) if room > 0 else (0, limit)
