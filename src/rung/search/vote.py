"""Votes over final answers: majority, and weighted by scores.

Answers arrive as keys: two chains agree when their keys are equal. Making keys ("1/2" and "0.5"
alike or not) is the caller's business. Shape letters: N chains of one problem.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from rung.search.best_of_n import Choice


def majority_vote(answers_N: Sequence[Hashable | None]) -> Choice:
    """Pick the first chain with the most frequent answer.

    Self-consistency (Wang et al., arXiv 2203.11171). See `weighted_vote` for ties and gaps.
    """
    return weighted_vote(answers_N, [1.0] * len(answers_N))


def weighted_vote(
    answers_N: Sequence[Hashable | None], weights_N: Sequence[float | None]
) -> Choice:
    """Pick the heaviest chain of the answer whose chains weigh most together.

    Math-Shepherd (arXiv 2312.08935), section 3.4, weighs by a chain's aggregated score. Of equally
    heavy answers the one given first wins; within the answer, the first of equally heavy chains.
    A chain without an answer or without a weight has no vote. Where no chain has one, or all
    weights are 0, the first chain with an answer is taken, else the first of all, with value None.

    Raises:
        ValueError: There are no chains, the lengths differ, or a weight is negative.
    """
    if not answers_N:
        raise ValueError("a vote of no chains")
    votes: dict[Hashable, list[tuple[float, int]]] = {}
    num_unusable = 0
    for index, (answer, weight) in enumerate(zip(answers_N, weights_N, strict=True)):
        if weight is not None and not weight >= 0:
            raise ValueError(f"weight {index} is {weight}, expected a number of at least 0")
        if answer is None or weight is None:
            num_unusable += 1
        else:
            votes.setdefault(answer, []).append((weight, index))
    totals = {answer: math.fsum(weight for weight, _ in cast) for answer, cast in votes.items()}
    all_weight = math.fsum(totals.values())
    if not all_weight:
        return Choice(_first_answered(answers_N), None, num_unusable)
    winner = max(totals, key=totals.__getitem__)  # dicts keep the order of first appearance
    _, index = max(votes[winner], key=lambda vote: vote[0])
    return Choice(index, totals[winner] / all_weight, num_unusable)


def _first_answered(answers_N: Sequence[Hashable | None]) -> int:
    return next((k for k, answer in enumerate(answers_N) if answer is not None), 0)
