"""Intervals and tests over problems. Pure functions of arrays and a seed.

Problems are what is drawn again, never chains: chains of one problem succeed and fail together,
and an interval over chains would be far too narrow. P is the number of problems, R of resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rung.core import RolloutCount
from rung.label.intervals import wilson_interval

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

RESAMPLES = 2_000
CONFIDENCE = 0.95
FLIPS_AT_ONCE = 1_000
TINY = 1e-9
"""Differences up to this are rounding."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval. Bounds are None where no resample has the number."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """First minus second, problem by problem."""

    difference: float
    low: float
    high: float
    p_value: float
    """Two-sided, by flipping the signs of the problems' differences."""
    wins: int
    """Problems where the first is better; ties are in neither count."""
    losses: int


def resample_weights(num_problems: int, *, resamples: int = RESAMPLES, seed: int = 0) -> FloatArray:
    """How often each problem is drawn in each bootstrap resample: `weights_RP`.

    Raises:
        ValueError: There are no problems.
    """
    if num_problems == 0:
        raise ValueError("a bootstrap needs at least one problem")
    rng = np.random.default_rng(seed)
    even_P = np.full(num_problems, 1.0 / num_problems)
    return rng.multinomial(num_problems, even_P, size=resamples).astype(np.float64)


def two_level_weights(
    sizes: Sequence[int], *, resamples: int = RESAMPLES, seed: int = 0
) -> FloatArray:
    """The same for problems in G groups, one a trained model: for another seed of the training too.

    Groups are few, three or five, and to draw them again as problems are drawn is not enough: where
    three differ, such a 95 % interval covers the truth three times in four. So a resample shifts
    the groups' weights, such that a weighted mean moves by t standard errors of the groups' means,
    t from Student's distribution with G - 1 degrees of freedom: the t interval over clusters
    (Donald and Lang, Review of Economics and Statistics 89, 2007; Cameron and Miller, Journal of
    Human Resources 50, 2015, section VI). Beside that it draws the problems of each group, which
    theirs doesn't: an interval is never narrower than over the problems alone, and wider than need
    be where groups do not differ.

    Args:
        sizes: Problems of each group; a group's columns follow those of the group before.
        resamples: Rows.
        seed: Of the draws.

    Returns:
        `weights_RP`, P the sum of the sizes. Some are negative; each row's sum is P.

    Raises:
        ValueError: A group has no problems, or there is no group.
    """
    if not sizes or min(sizes) < 1:
        raise ValueError(f"every group needs problems, not {list(sizes)}")
    if len(sizes) == 1:
        return resample_weights(sizes[0], resamples=resamples, seed=seed)
    rng = np.random.default_rng(seed)
    shifts_RG = student_shifts(rng, resamples, len(sizes))
    return np.concatenate(
        [
            rng.multinomial(size, np.full(size, 1 / size), size=resamples)
            + shifts_RG[:, [g]] * (sum(sizes) / size)
            for g, size in enumerate(sizes)
        ],
        axis=1,
    )


def student_shifts(rng: np.random.Generator, resamples: int, groups: int) -> FloatArray:
    """Rows of sum 0 whose products with G groups' numbers are t draws of their mean's error.

    A normal draw in G - 1 dimensions over the root of a chi-squared one with as many degrees of
    freedom: its product with the numbers is a t draw times their mean's standard error. One group
    says nothing of others: there the shifts are 0.
    """
    if groups == 1:
        return np.zeros((resamples, 1))
    normal_RG = rng.standard_normal((resamples, groups))
    normal_RG -= normal_RG.mean(axis=1, keepdims=True)
    return normal_RG / np.sqrt(groups * rng.chisquare(groups - 1, size=(resamples, 1)))


def estimate(
    value: float, drawn_R: FloatArray, *, confidence: float = CONFIDENCE
) -> Estimate | None:
    """A value with the percentile interval of its resamples, NaNs among them left out.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.

    Returns:
        None where the value is NaN: the data don't have this number.
    """
    if np.isnan(value):
        return None
    known = drawn_R[~np.isnan(drawn_R)]
    if known.size == 0:
        return Estimate(float(value), None, None)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return Estimate(float(value), float(low), float(high))


def estimate_share(
    part_P: FloatArray,
    whole_P: FloatArray,
    weights_RP: FloatArray,
    *,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """The sum of parts over the sum of wholes, with its interval.

    A share of 0 or 1 is the same in every resample, which is no certainty: there the interval is
    Wilson's (1927), and the problems that have a whole are the trials, because the steps of one
    problem succeed and fail together.

    Returns:
        None where there is no whole.
    """
    if not (total := whole_P.sum()):
        return None
    value = float(part_P.sum() / total)
    if value in (0.0, 1.0):
        trials = int(np.count_nonzero(whole_P))
        low, high = wilson_interval(RolloutCount(round(value * trials), trials), confidence)
        return Estimate(value, min(low, value), max(high, value))
    with np.errstate(invalid="ignore"):
        drawn_R = (weights_RP @ part_P) / (weights_RP @ whole_P)
    return estimate(value, drawn_R, confidence=confidence)


def estimate_mean(
    values: FloatArray,
    problem: IntArray,
    weights_RP: FloatArray,
    *,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """A mean over steps or chains with its interval over problems.

    Args:
        values: At least one.
        problem: Each value's problem, a column of `weights_RP`; some may have no value.
        weights_RP: From `resample_weights`.
        confidence: Share of the resamples inside the interval.
    """
    num_problems = weights_RP.shape[1]
    sum_P = np.bincount(problem, values, minlength=num_problems)
    count_P = np.bincount(problem, minlength=num_problems).astype(np.float64)
    with np.errstate(invalid="ignore"):
        drawn_R = (weights_RP @ sum_P) / (weights_RP @ count_P)
    return estimate(float(values.mean()), drawn_R, confidence=confidence)


def bootstrap(
    statistic: Callable[[FloatArray], float],
    weights_RP: FloatArray,
    *,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """Any statistic that takes a weight per problem, with its interval.

    Args:
        statistic: From `weights_P` to a number; NaN where the weighted problems don't have one.
        weights_RP: From `resample_weights`.
        confidence: Share of the resamples inside the interval.

    Returns:
        None where the problems themselves don't have the number.
    """
    drawn_R = np.array([statistic(weights_P) for weights_P in weights_RP])
    return estimate(statistic(np.ones(weights_RP.shape[1])), drawn_R, confidence=confidence)


def bootstrap_means(
    values_PK: FloatArray, weights_RP: FloatArray, *, confidence: float = CONFIDENCE
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Means over problems of K quantities at once: `mean_K`, `low_K`, `high_K`.

    Bounds stay inside the range of the values, where negative weights would leave it.
    """
    means_RK = weights_RP @ values_PK / weights_RP.sum(axis=1, keepdims=True)
    means_RK = np.clip(means_RK, values_PK.min(axis=0), values_PK.max(axis=0))
    tail = (1.0 - confidence) / 2.0
    low_K, high_K = np.quantile(means_RK, [tail, 1.0 - tail], axis=0)
    return values_PK.mean(axis=0), low_K, high_K


def paired_differences(
    differences_PK: FloatArray,
    weights_RP: FloatArray,
    *,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> list[PairedDifference]:
    """K paired comparisons, each from one difference a problem.

    The p-value is that of the sign-flip test (Fisher's randomization test for pairs): under the
    null hypothesis each problem's difference could as well have had the other sign.
    """
    differences_PK = np.where(np.abs(differences_PK) <= TINY, 0.0, differences_PK)
    mean_K, low_K, high_K = bootstrap_means(differences_PK, weights_RP, confidence=confidence)
    p_K = sign_flip_p_values(differences_PK, flips=weights_RP.shape[0], seed=seed)
    wins_K, losses_K = (differences_PK > 0).sum(axis=0), (differences_PK < 0).sum(axis=0)
    columns = zip(mean_K, low_K, high_K, p_K, wins_K, losses_K, strict=True)
    return [
        PairedDifference(float(mean), float(low), float(high), float(p), int(wins), int(losses))
        for mean, low, high, p, wins, losses in columns
    ]


def sign_flip_p_values(
    differences_PK: FloatArray, *, flips: int = RESAMPLES, seed: int = 0
) -> FloatArray:
    """Two-sided p-value of each column's mean under random signs of its rows: `p_K`.

    Counts the data as one of the flips, so no p-value is 0 (Phipson and Smyth 2010).
    """
    rng = np.random.default_rng(seed)
    num_problems = differences_PK.shape[0]
    observed_K = np.abs(differences_PK.sum(axis=0))
    tolerance_K = TINY * np.abs(differences_PK).sum(axis=0)
    extreme_K = np.zeros(differences_PK.shape[1])
    for start in range(0, flips, FLIPS_AT_ONCE):
        rows = min(FLIPS_AT_ONCE, flips - start)
        signs_RP = rng.choice(np.array([-1.0, 1.0]), size=(rows, num_problems))
        flipped_RK = np.abs(signs_RP @ differences_PK)
        extreme_K += (flipped_RK >= observed_K - tolerance_K).sum(axis=0)
    return (1.0 + extreme_K) / (1.0 + flips)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the k-th smallest of m p-values times m - k, rising.

    Scandinavian Journal of Statistics 6 (1979).
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, floor = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        floor = max(floor, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = floor
    return corrected
