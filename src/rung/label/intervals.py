"""Intervals for the share of rollouts that reach the right answer."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

from rung.core import RolloutCount

CONFIDENCE = 0.95
PRIOR = 0.5
"""Of the mixture, Beta(1/2, 1/2): Jeffreys' prior, which is kind to shares near 0 and 1."""
BISECTIONS = 50


class Interval(NamedTuple):
    """Where a value lies, as a rule a share."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """How uncertain it is: 0.5 when nothing is known."""
        return (self.high - self.low) / 2


def wilson_interval(count: RolloutCount, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval (1927), for a number of rollouts that was fixed beforehand.

    A number that depended on what the rollouts said, as it does in adaptive labeling, makes
    this interval too narrow; `anytime_interval` holds there.
    """
    correct, total = count
    return wilson(correct / total, total, confidence) if total else Interval(0.0, 1.0)


def wilson(share: float, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a share of `total` (at least 1)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    shrink = 1 + z * z / total
    center = (share + z * z / (2 * total)) / shrink
    spread = z / shrink * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    return Interval(max(0.0, center - spread), min(1.0, center + spread))


@functools.lru_cache(maxsize=2**16)
def anytime_interval(count: RolloutCount, confidence: float = CONFIDENCE) -> Interval:
    """An interval of the beta-binomial confidence sequence, which allows any stopping rule.

    Robbins (1970): for the true share p the ratio of the mixture's likelihood to p's own,
    B(s + 1/2, n - s + 1/2) / B(1/2, 1/2) / (p^s (1 - p)^(n - s)), is a martingale that starts at
    1, so by Ville's inequality it ever reaches 1 / (1 - confidence) with probability at most
    1 - confidence. The interval holds every p for which it has not. So with probability
    `confidence` all intervals of one prefix hold its value at once, however many rollouts there
    are and whatever it was that ended them.
    """
    correct, wrong = count[0], count[1] - count[0]
    limit = -math.log1p(-confidence)
    mixture = _log_beta(correct + PRIOR, wrong + PRIOR) - _log_beta(PRIOR, PRIOR)

    def is_inside(p: float) -> bool:
        return mixture - _times_log(correct, p) - _times_log(wrong, 1 - p) < limit

    share = correct / count[1] if count[1] else 0.5
    return Interval(_edge(is_inside, share, 0.0), _edge(is_inside, share, 1.0))


def _edge(is_inside: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where the interval ends on the way from a point within it; the outer side of the edge."""
    if is_inside(outside):
        return outside
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        if is_inside(middle):
            inside = middle
        else:
            outside = middle
    return outside


def _times_log(times: int, p: float) -> float:
    if times == 0:
        return 0.0
    return times * math.log(p) if p > 0 else -math.inf


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
