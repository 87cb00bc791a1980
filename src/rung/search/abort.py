"""Early abort: chains are judged while they are written, and hopeless ones stop."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from rung.core.aggregate import AGGREGATIONS
from rung.core.types import Problem
from rung.search.growth import Expand, Grown, Growth, distinct, flat, root


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyAbort:
    """Several chains in flight, step by step; one that falls below a value is given up.

    Its place goes to a new chain: from a living prefix, drawn by value, else from the beginning.
    `below` comes from `rung.search.thresholds.abort_below`, which bounds the chance of giving up
    the chain that would have won; `enough` from `stop_above`.
    """

    below: float
    """A running value under which a chain is given up."""
    enough: float = 2.0
    """A finished chain's value at which the search ends; above 1 never. Under `below` no chain is
    enough: the lines are drawn apart, and where best-of-N itself picks badly this one is low."""
    look_every: int | None = None
    """Tokens between looks inside a step; None: chains are judged where steps end."""
    below_inside: float = -math.inf
    """The score of an unfinished step under which its chain is given up; `abort_inside_below`
    draws this line."""
    n: int = 64
    """Chains that may be begun or forked."""
    in_flight: int = 8
    """Chains that are written at the same time."""
    by: str = "min"
    seed: int = 0
    """Of the draws of prefixes to fork."""
    rule: str = "min"

    def grow(self, problem: Problem) -> Growth:
        """Step after step, until a chain is good enough or all N have ended or been given up."""
        draws = random.Random(f"{self.seed} {problem.root_id}")
        flying = min(self.n, self.in_flight)
        left = self.n - flying
        enough = max(self.enough, self.below)
        asks = [Expand(root(problem), flying, look_after=self.look_every)]
        while asks:
            grown = flat((yield asks))
            if any(one.is_finished and self._value(one) >= enough for one in grown):
                return
            alive = [one for one in grown if one.is_open and self._has_hope(one)]
            freed = min(left, flying - len(alive))
            left -= freed
            asks = self._merged([*alive, *self._forks(alive, freed, problem, draws)])

    def _has_hope(self, one: Grown) -> bool:
        if one.is_part:
            return one.look is None or one.look >= self.below_inside
        return self._value(one) >= self.below

    def _value(self, one: Grown) -> float:
        return one.value(AGGREGATIONS[self.by]) or 0.0

    def _forks(
        self, alive: Sequence[Grown], count: int, problem: Problem, draws: random.Random
    ) -> list[Grown]:
        """Where the freed places begin."""
        prefixes = distinct(alive)
        weights = [self._value(one) for one in prefixes]
        if not any(weights):
            return [Grown(root(problem))] * count
        return draws.choices(prefixes, weights, k=count)

    def _merged(self, prefixes: Sequence[Grown]) -> list[Expand]:
        """One ask for all chains that stand at the same prefix."""
        same: dict[tuple[str, bool], list[Grown]] = {}
        for one in prefixes:
            same.setdefault((one.chain.prefix_id, one.is_part), []).append(one)
        return [
            Expand(ones[0].chain, len(ones), look_after=self.look_every) for ones in same.values()
        ]
