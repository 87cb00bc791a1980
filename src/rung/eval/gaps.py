"""How far a rule that picks among n chains is ahead of another on the same problems, and tests.

P is the number of problems, R of resamples, K of gaps: one for each n and pair of rules.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rung.eval.expected import VERIFIED
from rung.eval.statistics import FloatArray, holm, paired_differences

OTHERS = ("orm", "majority")
"""What every rule that picks by scores is held against."""


@dataclass(frozen=True, slots=True)
class GapPoint:
    """Accuracy of one rule minus another's on the same problems, with n chains a problem."""

    n: int
    difference: float
    low: float
    high: float
    p_value: float
    """Two-sided sign-flip test over problems."""
    p_holm: float
    """The p-value, corrected for all gaps of the first rule with a choice: n of 2 and more, and
    every other rule."""
    wins: int
    """Problems where the first rule is the better one."""
    losses: int


def gaps_between(
    accuracy: Mapping[str, FloatArray],
    picks: Sequence[str],
    ns: Sequence[int],
    weights_RP: FloatArray,
    *,
    confidence: float,
    seed: int,
) -> dict[str, tuple[GapPoint, ...]]:
    """Every rule that picks minus ORM and minus majority, named `FIRST_minus_SECOND`.

    With a verifier the same of the rules' twins, and every twin minus its rule: what the verifier
    adds.

    Args:
        accuracy: Each rule's expected correctness: one row a problem, one column an n.
        picks: The rules that pick by scores.
        ns: Numbers of chains, one a column.
        weights_RP: From `rung.eval.statistics.resample_weights`.
        confidence: Share of the resamples inside the intervals.
        seed: Of the sign flips.
    """
    pairs = _pairs(accuracy, picks)
    if not pairs:
        return {}
    differences_PK = np.concatenate([accuracy[a] - accuracy[b] for a, b in pairs], axis=1)
    found_K = paired_differences(differences_PK, weights_RP, confidence=confidence, seed=seed)
    points_K = [
        GapPoint(n, d.difference, d.low, d.high, d.p_value, d.p_value, d.wins, d.losses)
        for n, d in zip(list(ns) * len(pairs), found_K, strict=True)
    ]
    points_K = _corrected(points_K, [first for first, _ in pairs for _ in ns])
    return {
        f"{first}_minus_{second}": tuple(points_K[k * len(ns) : (k + 1) * len(ns)])
        for k, (first, second) in enumerate(pairs)
    }


def _pairs(rules: Collection[str], picks: Sequence[str]) -> list[tuple[str, str]]:
    pairs = [(a, b) for a in picks for b in OTHERS if b in rules and b != a]
    twins = [(VERIFIED + rule, rule) for rule in rules if VERIFIED + rule in rules]
    return [*pairs, *((VERIFIED + a, VERIFIED + b) for a, b in pairs if twins), *twins]


def _corrected(points_K: Sequence[GapPoint], firsts_K: Sequence[str]) -> list[GapPoint]:
    """With Holm's correction. One chain leaves no choice, so n = 1 is no test of anything."""
    p_holm: dict[int, float] = {}
    for first in dict.fromkeys(firsts_K):
        tested = [k for k, p in enumerate(points_K) if firsts_K[k] == first and p.n > 1]
        p_holm |= zip(tested, holm([points_K[k].p_value for k in tested]), strict=True)
    return [replace(p, p_holm=p_holm.get(k, p.p_value)) for k, p in enumerate(points_K)]
