"""Best-of-N: the chain whose aggregated step scores are highest.

Shape letters: N chains of one problem.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rung.core.aggregate import Aggregation
from rung.core.types import StepScores


class Rank(NamedTuple):
    """A chain's place among its problem's chains; the higher tuple is the better chain."""

    is_whole: bool
    """The last step has a score, so the chain was read to its end."""
    key: float
    """`Aggregation.rank` of the scores there are; -inf where there are none."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The chain that a rule picks among a problem's N chains."""

    index: int
    """Which of the N."""
    value: float | None
    """Best-of-N: the aggregated score. A vote: the winner's share of all weight. None: the rule
    had nothing to go by, and the first chain was taken."""
    num_unusable: int = 0
    """Chains that the rule could not weigh: without scores, or without an answer to a vote."""
    num_refuted: int = 0
    """Chains that a verifier refuted."""


def rank_of(scores: StepScores | None, aggregation: Aggregation) -> Rank:
    """How a chain compares under best-of-N.

    Chains whose last step has no score, because it lies beyond the scorer's context, stand
    behind all others: under min or product an unread step would otherwise count as a perfect
    one. An ORM's only score is the last step's, so every aggregation ranks by it.
    """
    if scores is None or not scores.known:
        return Rank(False, -math.inf)
    return Rank(scores.scores[-1] is not None, aggregation.rank(scores.known))


def value_of(scores: StepScores | None, aggregation: Aggregation) -> float | None:
    """The chain's aggregated score; None when it has no scores."""
    return aggregation(scores.known) if scores is not None and scores.known else None


def best_of_n(scores_N: Sequence[StepScores | None], aggregation: Aggregation) -> Choice:
    """Pick the chain with the highest rank; of equals, the first.

    Let's Verify Step by Step (arXiv 2305.20050), section 2.1, with the aggregation left open.

    Raises:
        ValueError: There are no chains.
    """
    if not scores_N:
        raise ValueError("best of no chains")
    ranks_N = [rank_of(scores, aggregation) for scores in scores_N]
    index = max(range(len(ranks_N)), key=ranks_N.__getitem__)  # max keeps the first of equals
    num_unusable = sum(scores is None or not scores.known for scores in scores_N)
    return Choice(index, value_of(scores_N[index], aggregation), num_unusable)
