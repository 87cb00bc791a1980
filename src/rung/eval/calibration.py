"""Calibration: does a score of 0.8 mean right in eight of ten? One binning, bootstrapped.

J is the number of judged steps, P of problems, H of bins (histogram).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rung.eval.statistics import CONFIDENCE, Estimate, FloatArray, estimate
from rung.eval.subsets import BoolArray, IntArray

BINS = 10
LEAST_PROBABILITY = 1e-6
"""In the log loss; so a score of 0 for a right step costs 13.8 and not infinity."""


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Steps whose scores lie in [from_score, to_score); the last bin has its upper end too."""

    from_score: float
    to_score: float
    num_steps: int
    mean_score: float | None
    """None in an empty bin."""
    share_right: Estimate | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far scores are from probabilities of being right; 0 is perfect for all numbers."""

    ece: Estimate | None
    """Expected calibration error (Guo et al., arXiv 1706.04599), over equally wide bins."""
    brier: Estimate | None
    """Mean squared distance of the score to 1 (right) or 0 (wrong)."""
    log_loss: Estimate | None
    """Mean of -log P(what the label says), in nats, P at least `LEAST_PROBABILITY`."""
    bins: tuple[CalibrationBin, ...]


def calibration(
    scores_J: FloatArray,
    right_J: BoolArray | FloatArray,
    problem_J: IntArray,
    weights_RP: FloatArray,
    *,
    num_bins: int = BINS,
    confidence: float = CONFIDENCE,
) -> Calibration:
    """ECE, Brier score, log loss and the reliability diagram's bins, with intervals over problems.

    Args:
        scores_J: In [0, 1].
        right_J: Whether the label says the step is right; or soft labels, each the share of a
            right step that it says.
        problem_J: Row of each step's problem.
        weights_RP: From `resample_weights`.
        num_bins: Equally wide bins over [0, 1].
        confidence: Share of the resamples inside the intervals.
    """
    sums = sum_up(scores_J, right_J, problem_J, weights_RP.shape[1], num_bins)
    rows = np.vstack([np.ones(weights_RP.shape[1]), weights_RP])  # row 0: as the problems are
    count_RH, right_RH, score_RH = (
        rows @ sum_PH for sum_PH in (sums.count_PH, sums.right_PH, sums.score_PH)
    )
    total_R = count_RH.sum(axis=1)

    def of_rows(values_R: FloatArray) -> Estimate | None:
        return estimate(values_R[0], values_R[1:], confidence=confidence)

    with np.errstate(invalid="ignore"):  # resamples without a step, or without one in a bin
        share_RH, mean_RH = right_RH / count_RH, score_RH / count_RH
        apart_R = np.abs(right_RH - score_RH).sum(axis=1) / total_R
        squares_R, losses_R = (rows @ of_P / total_R for of_P in (sums.squares_P, sums.losses_P))
    bins = (
        CalibrationBin(
            from_score=k / num_bins,
            to_score=(k + 1) / num_bins,
            num_steps=int(count_RH[0, k]),
            mean_score=float(mean_RH[0, k]) if count_RH[0, k] else None,
            share_right=of_rows(share_RH[:, k]),
        )
        for k in range(num_bins)
    )
    return Calibration(
        ece=of_rows(apart_R),
        brier=of_rows(squares_R),
        log_loss=of_rows(losses_R),
        bins=tuple(bins),
    )


@dataclass(frozen=True, slots=True)
class Sums:
    """Per problem and bin: how many steps, how many right, the sum of their scores; and losses."""

    count_PH: FloatArray
    right_PH: FloatArray
    score_PH: FloatArray
    squares_P: FloatArray
    losses_P: FloatArray


def sum_up(
    scores_J: FloatArray,
    right_J: BoolArray | FloatArray,
    problem_J: IntArray,
    num_problems: int,
    num_bins: int,
) -> Sums:
    """What ECE, Brier score and log loss need of the steps; the arguments are `calibration`'s."""
    bin_J = np.minimum((scores_J * num_bins).astype(np.int64), num_bins - 1)
    cell_J = problem_J * num_bins + bin_J

    def per_cell(values_J: FloatArray) -> FloatArray:
        flat = np.bincount(cell_J, values_J, minlength=num_problems * num_bins)
        return flat.astype(np.float64).reshape(num_problems, num_bins)

    return Sums(
        count_PH=per_cell(np.ones(len(scores_J))),
        right_PH=per_cell(right_J.astype(np.float64)),
        score_PH=per_cell(scores_J),
        squares_P=per_cell((scores_J - right_J) ** 2).sum(axis=1),
        losses_P=per_cell(_log_losses(scores_J, right_J.astype(np.float64))).sum(axis=1),
    )


def _log_losses(scores_J: FloatArray, right_J: FloatArray) -> FloatArray:
    p_J = np.clip(scores_J, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    return -(right_J * np.log(p_J) + (1.0 - right_J) * np.log1p(-p_J))
