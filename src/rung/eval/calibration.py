"""Calibration: does a score of 0.8 mean right in eight of ten? One binning, bootstrapped.

J is the number of judged steps, P of problems, H of bins (histogram).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rung.eval.statistics import CONFIDENCE, Estimate, FloatArray, estimate
from rung.eval.subsets import BoolArray, IntArray

BINS = 10


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
    """How far scores are from probabilities of being right; 0 is perfect for both numbers."""

    ece: Estimate | None
    """Expected calibration error (Guo et al., arXiv 1706.04599), over equally wide bins."""
    brier: Estimate | None
    """Mean squared distance of the score to 1 (right) or 0 (wrong)."""
    bins: tuple[CalibrationBin, ...]


def calibration(
    scores_J: FloatArray,
    right_J: BoolArray,
    problem_J: IntArray,
    weights_RP: FloatArray,
    *,
    num_bins: int = BINS,
    confidence: float = CONFIDENCE,
) -> Calibration:
    """ECE, Brier score and the reliability diagram's bins, with intervals over problems.

    Args:
        scores_J: In [0, 1].
        right_J: Whether the label says the step is right.
        problem_J: Row of each step's problem.
        weights_RP: From `resample_weights`.
        num_bins: Equally wide bins over [0, 1].
        confidence: Share of the resamples inside the intervals.
    """
    num_problems = weights_RP.shape[1]
    bin_J = np.minimum((scores_J * num_bins).astype(np.int64), num_bins - 1)
    cell_J = problem_J * num_bins + bin_J

    def per_problem(values_J: FloatArray) -> FloatArray:
        flat = np.bincount(cell_J, values_J, minlength=num_problems * num_bins)
        return flat.astype(np.float64).reshape(num_problems, num_bins)

    def of_rows(values_R: FloatArray) -> Estimate | None:
        return estimate(values_R[0], values_R[1:], confidence=confidence)

    count_PH = per_problem(np.ones(len(scores_J)))
    right_PH = per_problem(right_J.astype(np.float64))
    score_PH = per_problem(scores_J)
    squares_P = per_problem((scores_J - right_J) ** 2).sum(axis=1)

    rows = np.vstack([np.ones(num_problems), weights_RP])  # row 0: the problems as they are
    count_RH, right_RH, score_RH = (rows @ sums for sums in (count_PH, right_PH, score_PH))
    total_R = count_RH.sum(axis=1)
    ece_R = np.abs(right_RH - score_RH).sum(axis=1) / total_R
    with np.errstate(invalid="ignore"):
        share_RH = right_RH / count_RH
        mean_score_H = score_RH[0] / count_RH[0]
    return Calibration(
        ece=of_rows(ece_R),
        brier=of_rows(rows @ squares_P / total_R),
        bins=tuple(
            CalibrationBin(
                from_score=k / num_bins,
                to_score=(k + 1) / num_bins,
                num_steps=int(count_RH[0, k]),
                mean_score=float(mean_score_H[k]) if count_RH[0, k] else None,
                share_right=of_rows(share_RH[:, k]),
            )
            for k in range(num_bins)
        ),
    )
