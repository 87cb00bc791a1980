"""Step scores to one chain score. Each rule is a pure function with its source.

Every rule is written once, as a running value over the growing prefix: entry k of the result
is the rule applied to the scores of steps 0..k. The value of a whole chain is its last entry.
Scores are in [0, 1]; S is the number of steps. All are O(S).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

SOFT_MIN_TEMPERATURE = 0.05
"""PURE's 0.1, carried over: PURE weighs r = p1 - p0 = 2 * p1 - 1, rung weighs p1."""

Running = Callable[[Sequence[float]], list[float]]


def running_min(scores_S: Sequence[float]) -> list[float]:
    """The weakest step: Math-Shepherd (arXiv 2312.08935), section 3.4."""
    return list(accumulate(scores_S, min))


def running_max(scores_S: Sequence[float]) -> list[float]:
    """The strongest step. ReasonEval (arXiv 2404.05692) uses it for redundancy."""
    return list(accumulate(scores_S, max))


def running_log_product(scores_S: Sequence[float]) -> list[float]:
    """Log of the probability that every step is right; -inf once a score is 0."""
    return list(accumulate(math.log(s) if s > 0 else -math.inf for s in scores_S))


def running_product(scores_S: Sequence[float]) -> list[float]:
    """P(every step is right): Let's Verify Step by Step (arXiv 2305.20050), section 2.6.

    Summed in log space. A very long chain can still underflow to 0 here, so ranking uses
    `running_log_product`.
    """
    return [math.exp(value) for value in running_log_product(scores_S)]


def running_sum(scores_S: Sequence[float]) -> list[float]:
    """Sum of the scores; it favors long chains (EurusPRM stage 2 sums its rewards)."""
    return list(accumulate(scores_S))


def running_mean(scores_S: Sequence[float]) -> list[float]:
    """Mean of the scores: RLHFlow's rule (math-rm/prm_evaluate.py)."""
    return [total / count for count, total in enumerate(accumulate(scores_S), start=1)]


def running_last(scores_S: Sequence[float]) -> list[float]:
    """The score of the latest step: a value, as in Snell et al. (arXiv 2408.03314), section 5.1."""
    return list(scores_S)


def running_soft_min(
    scores_S: Sequence[float], temperature: float = SOFT_MIN_TEMPERATURE
) -> list[float]:
    """Sum of softmax(-s / temperature) * s: PURE (arXiv 2504.15275), equation 5.

    PURE feeds it r = p1 - p0 in [-1, 1]; here it is fed the score p1, as every other rule is.
    With the default temperature PURE's value is 2 * ours - 1, so the order is PURE's.
    """
    values: list[float] = []
    lowest, weight, total = math.inf, 0.0, 0.0
    for score in scores_S:
        if score < lowest:  # keep the largest exponent at 0, so that nothing overflows
            shrink = 0.0 if math.isinf(lowest) else math.exp((score - lowest) / temperature)
            weight, total, lowest = weight * shrink, total * shrink, score
        term = math.exp((lowest - score) / temperature)
        weight, total = weight + term, total + term * score
        values.append(total / weight)
    return values


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A rule: `running` gives values, `rank` (the same order, safe from underflow) picks."""

    name: str
    running: Running
    running_rank: Running

    def __call__(self, scores_S: Sequence[float]) -> float:
        """The chain's value.

        Raises:
            ValueError: There are no scores.
        """
        return self._last(self.running, scores_S)

    def rank(self, scores_S: Sequence[float]) -> float:
        """The key by which chains are compared: higher is better."""
        return self._last(self.running_rank, scores_S)

    def _last(self, rule: Running, scores_S: Sequence[float]) -> float:
        if not scores_S:
            raise ValueError(f"{self.name} of no scores")
        return rule(scores_S)[-1]


AGGREGATIONS: dict[str, Aggregation] = {
    "min": Aggregation("min", running_min, running_min),
    "product": Aggregation("product", running_product, running_log_product),
    "sum": Aggregation("sum", running_sum, running_sum),
    "mean": Aggregation("mean", running_mean, running_mean),
    "last": Aggregation("last", running_last, running_last),
    "max": Aggregation("max", running_max, running_max),
    "soft_min": Aggregation("soft_min", running_soft_min, running_soft_min),
}
