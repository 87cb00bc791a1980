"""Best-of-N and voting that stop when more chains would not change the choice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from rung.core.aggregate import AGGREGATIONS
from rung.core.types import Problem, RolloutCount
from rung.label.intervals import anytime_interval
from rung.search.growth import Expand, Growth, root
from rung.search.rules import MAJORITY, AnswerKey


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveBestOfN:
    """Sample chains a few at a time; stop at the first whose value is high enough.

    `enough` comes from `rung.search.thresholds.stop_above`, which bounds how much accuracy the
    stopping may cost against all N.
    """

    enough: float
    """A value at which to stop; above 1 never stops (for aggregations within [0, 1])."""
    n: int = 64
    batch: int = 4
    """Chains sampled together."""
    by: str = "min"
    rule: str = "min"

    def grow(self, problem: Problem) -> Growth:
        """Batch after batch."""
        left = self.n
        while left > 0:
            [grown] = yield [Expand(root(problem), min(self.batch, left), until="end")]
            left -= self.batch
            values = [one.value(AGGREGATIONS[self.by]) for one in grown if one.is_finished]
            if any(value is not None and value >= self.enough for value in values):
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveVote:
    """Sample chains a few at a time; stop when the vote is decided.

    Adaptive-Consistency (Aggarwal et al., arXiv 2305.11860) stops when a Beta posterior is sure of
    the majority. Difference: the test between the two leading answers is a confidence sequence, so
    that looking after every batch costs nothing: for two answers that the policy gives equally or
    in the other order, the chance of ever stopping with the wrong one is at most `error`. It also
    stops when the answers that are left to sample could not turn the vote.
    """

    answer_key: AnswerKey
    """Compares answers."""
    n: int = 64
    batch: int = 4
    error: float = 0.05
    """Chance that an answer wins that is not the more likely of the two."""
    rule: str = MAJORITY

    def grow(self, problem: Problem) -> Growth:
        """Batch after batch."""
        votes, left = Counter[Hashable](), self.n
        while left > 0:
            size = min(self.batch, left)
            [grown] = yield [Expand(root(problem), size, until="end", is_scored=False)]
            left -= size
            votes.update(_keys(map(self.answer_key, (g.chain for g in grown if g.is_finished))))
            if self._is_decided(votes, left):
                return

    def _is_decided(self, votes: Counter[Hashable], left: int) -> bool:
        if not votes:
            return False
        first, second = [*(count for _, count in votes.most_common(2)), 0][:2]
        # one-sided: only the lower end counts, so both ends may miss by `error` together
        interval = anytime_interval(RolloutCount(first, first + second), 1 - self.error)
        return interval.low > 0.5 or first - second > left


def _keys(keys: Iterable[Hashable | None]) -> list[Hashable]:
    return [key for key in keys if key is not None]
