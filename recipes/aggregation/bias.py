"""Each rule's accuracy over N, and whether it leans to long chains or to short ones.

P is the number of problems, M of one problem's chains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from picks import picks
from scipy.stats import rankdata

from rung.core import AGGREGATIONS, ChainRecord
from rung.eval.statistics import (
    FloatArray,
    bootstrap_means,
    estimate,
    paired_differences,
    two_level_weights,
)

RULES = ("min", "product", "soft_min", "mean", "last", "sum")
BASE = "min"
"""What the others are held against."""


def accuracies(
    runs: Sequence[Sequence[ChainRecord]], scorer: str, ns: Sequence[int]
) -> dict[str, Any]:
    """Every rule's accuracy for every N, and minus that of the least step."""
    by_run = [picks(run, scorer, RULES, ns) for run in runs]
    weights = two_level_weights([right_RPN.shape[1] for right_RPN in by_run])
    right_RPN = np.concatenate(by_run, axis=1)
    base_PN = right_RPN[RULES.index(BASE)]
    return {
        rule: {
            "accuracy": _estimates(*bootstrap_means(right_PN, weights)),
            "minus_base": list(map(asdict, paired_differences(right_PN - base_PN, weights))),
        }
        for rule, right_PN in zip(RULES, right_RPN, strict=True)
    }


def _estimates(*found: FloatArray) -> list[dict[str, float]]:
    names = ("value", "low", "high")
    columns = zip(*(column.tolist() for column in found), strict=True)
    return [dict(zip(names, column, strict=True)) for column in columns]


def leanings(runs: Sequence[Sequence[ChainRecord]], scorer: str) -> dict[str, Any]:
    """For every rule: how much longer its pick is, and its correlations with length."""
    return {rule: _leaning(runs, scorer, rule) for rule in RULES}


def _leaning(runs: Sequence[Sequence[ChainRecord]], scorer: str, rule: str) -> dict[str, Any]:
    """The pick among all of a problem's chains, and chains ranked within their problems.

    `longer` is the pick's number of steps minus the mean of the problem's right chains; where
    several chains are best, their mean counts. `right` and `wrong` are rank correlations of value
    and number of steps among chains of one problem that are all right, or all wrong, over all
    problems together.
    """
    pools = [[_Pool(chains, scorer, rule) for chains in _by_problem(run, scorer)] for run in runs]
    weights = two_level_weights(list(map(len, pools)))
    every = [pool for run in pools for pool in run]
    return {
        "longer": _mean([pool.longer() for pool in every], weights),
        "right": _correlation([pool.moments(among=True) for pool in every], weights),
        "wrong": _correlation([pool.moments(among=False) for pool in every], weights),
    }


def _by_problem(records: Sequence[ChainRecord], scorer: str) -> list[list[ChainRecord]]:
    found: dict[str, list[ChainRecord]] = {}
    for record in records:
        if record.outcome is not None and record.scores_by(scorer) is not None:
            found.setdefault(record.chain.problem.root_id, []).append(record)
    return list(found.values())


class _Pool:
    """One problem's chains: how they are ranked, how long they are, which are right."""

    def __init__(self, chains: Sequence[ChainRecord], scorer: str, rule: str) -> None:
        scores = [found.known for r in chains if (found := r.scores_by(scorer)) is not None]
        rank = AGGREGATIONS[rule].rank
        self.rank_M = np.array([rank(known) if known else -np.inf for known in scores])
        self.steps_M = np.array([float(len(r.chain.steps)) for r in chains])
        self.right_M = np.array([r.outcome is not None and r.outcome.is_correct for r in chains])

    def longer(self) -> float:
        """NaN without a right chain."""
        if not self.right_M.any():
            return np.nan
        is_best_M = self.rank_M == self.rank_M.max()
        return float(self.steps_M[is_best_M].mean() - self.steps_M[self.right_M].mean())

    def moments(self, *, among: bool) -> tuple[float, float, float]:
        """Of the ranks of value and length among the right or the wrong: xy, xx, yy."""
        of_M = self.right_M == among
        if of_M.sum() < 2:
            return 0.0, 0.0, 0.0
        x, y = (rankdata(values[of_M]) for values in (self.rank_M, self.steps_M))
        x, y = x - x.mean(), y - y.mean()
        return float(x @ y), float(x @ x), float(y @ y)


def _mean(values: Sequence[float], weights_RP: FloatArray) -> dict[str, Any] | None:
    value_P = np.array(values)
    known_P = ~np.isnan(value_P)
    if not known_P.any():
        return None
    of_RP = weights_RP[:, known_P]
    with np.errstate(invalid="ignore"):
        drawn_R = of_RP @ value_P[known_P] / of_RP.sum(axis=1)
    return _asdict(estimate(float(value_P[known_P].mean()), drawn_R))


def _correlation(
    moments: Sequence[tuple[float, float, float]], weights_RP: FloatArray
) -> dict[str, Any] | None:
    """None where no problem has chains that differ in both."""
    moments_P3 = np.array(moments)
    xy, xx, yy = moments_P3.sum(axis=0)
    if xx * yy == 0:
        return None
    xy_R, xx_R, yy_R = (weights_RP @ moments_P3).T
    with np.errstate(invalid="ignore"):
        drawn_R = np.clip(xy_R / np.sqrt(xx_R * yy_R), -1.0, 1.0)
    return _asdict(estimate(float(xy / np.sqrt(xx * yy)), drawn_R))


def _asdict(found: Any) -> dict[str, Any] | None:
    return None if found is None else asdict(found)
