"""Commit or continue: one number of chains for many problems, spent where it pays."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from rung.core.aggregate import AGGREGATIONS
from rung.core.types import Problem
from rung.search.growth import Expand, Growth, root

PRIOR_CHAINS = 4.0
"""What the values of all problems weigh, in chains, against those of one."""
SHARE_A_ROUND = 0.25
"""Of the problems, the most that a round goes on with: then their chains are looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocate:
    """Best-of-N over many problems, where N follows the worth of one more chain.

    A problem's best chain has a value v; with a PRM, the chance that it is right. One more chain
    is worth E[max(0, V - v)], where V is drawn from the k values that the problem has and, with
    the weight of `PRIOR_CHAINS` of them, from those of all problems. None of its own exceeds v, so
    the worth is PRIOR / (k + PRIOR) times the mean excess over v of all values. A round goes to
    the problems where that is most per token; the others stay as they are. This is the knowledge
    gradient (Frazier et al., 2008) with the sample itself for a model. The worth is in chances of
    a right answer only where the values are calibrated.
    """

    n: int = 16
    """Chains a problem on average: so many times the problems are there for all."""
    first: int = 4
    """Chains for every problem before anything is decided."""
    batch: int = 4
    """Chains that a problem gets at a time."""
    worth: float = 0.0
    """Ends when no problem's next chain is worth more."""
    by: str = "min"
    rule: str = "min"

    def grow_all(self, problems: Sequence[Problem]) -> Growth:
        """Round after round, until the chains are used up or none is worth writing."""
        states = [_State(problem) for problem in problems]
        left, size, chosen = self.n * len(states), min(self.first, self.n), states
        while chosen:
            answers = yield [Expand(root(state.problem), size, until="end") for state in chosen]
            left -= size * len(chosen)
            for state, grown in zip(chosen, answers, strict=True):
                state.values += [one.value(AGGREGATIONS[self.by]) or 0.0 for one in grown]
                state.num_tokens += sum(one.num_tokens for one in grown)
            size = min(self.batch, left)
            chosen = self._worthwhile(states, left // size if size else 0)

    def _worthwhile(self, states: Sequence[_State], places: int) -> list[_State]:
        excess = _Excess([value for state in states for value in state.values])
        worth = [PRIOR_CHAINS / (len(s.values) + PRIOR_CHAINS) * excess(s.best) for s in states]
        going = [k for k in range(len(states)) if worth[k] > self.worth]
        going.sort(key=lambda k: -worth[k] / states[k].price)
        most = min(places, math.ceil(SHARE_A_ROUND * len(states)))
        return [states[k] for k in going[:most]]


@dataclass(slots=True)
class _State:
    """What is known of a problem."""

    problem: Problem
    values: list[float] = field(default_factory=list[float])
    num_tokens: int = 0

    @property
    def best(self) -> float:
        return max(self.values, default=0.0)

    @property
    def price(self) -> float:
        """Tokens a chain."""
        return max(1.0, self.num_tokens / max(1, len(self.values)))


class _Excess:
    """The mean of max(0, V - v) over values V, for any v in O(log n)."""

    def __init__(self, values: Sequence[float]) -> None:
        self._sorted = sorted(values)
        self._sums = [0.0, *accumulate(reversed(self._sorted))]  # of the k highest

    def __call__(self, value: float) -> float:
        above = len(self._sorted) - bisect_right(self._sorted, value)
        return (self._sums[above] - above * value) / max(1, len(self._sorted))
