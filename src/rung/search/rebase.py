"""REBASE: each round's continuations are shared out by reward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rung.core.aggregate import AGGREGATIONS
from rung.core.types import Problem
from rung.search.growth import Expand, Growth, apportion, distinct, flat, root


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebase:
    """Every prefix gets continuations in proportion to softmax(value / temperature).

    Wu et al. (arXiv 2408.00724), section 3.2: N minus the chains that have ended are shared out
    at each depth. Differences: shares are rounded by largest remainder, so that they add up (the
    paper rounds each alone, which can give nobody any); equal prefixes count once.
    """

    n: int = 16
    temperature: float = 0.1
    """T_b: lower gives the best prefixes more."""
    by: str = "min"
    rule: str = "weighted"

    def grow(self, problem: Problem) -> Growth:
        """Depth after depth, until N chains have ended or no prefix is left."""
        asks, left = [Expand(root(problem), self.n)], self.n
        while asks:
            grown = flat((yield asks))
            left -= sum(one.is_finished for one in grown)
            going = distinct(one for one in grown if one.is_open)
            values = [one.value(AGGREGATIONS[self.by]) or 0.0 for one in going]
            shares = apportion(left, softmax(values, self.temperature))
            asks = [Expand(one.chain, n) for one, n in zip(going, shares, strict=True) if n]


def softmax(values: Sequence[float], temperature: float) -> list[float]:
    """Weights in proportion to exp(value / temperature); they add up to 1."""
    highest = max(values, default=0.0)
    weights = [math.exp((value - highest) / temperature) for value in values]
    return [weight / sum(weights) for weight in weights]
