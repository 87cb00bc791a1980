"""Agreement beyond chance, from counts: a row for each resample (R)."""

from __future__ import annotations

import numpy as np

from rung.eval.statistics import FloatArray


def kappa(cells_R4: FloatArray) -> FloatArray:
    """Cohen's kappa from counts (both wrong, only the second right, only the first, both right)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ww, wr, rw, rr = cells_R4.T / cells_R4.sum(axis=1)
        by_chance = (ww + wr) * (ww + rw) + (rw + rr) * (wr + rr)
        return np.where(by_chance < 1, (ww + rr - by_chance) / (1 - by_chance), np.nan)


def alpha(units_R3: FloatArray) -> FloatArray:
    """Krippendorff's alpha of two classes.

    Args:
        units_R3: Sums over the steps that two or more judged: wrong verdicts, right verdicts, and
            wrong times right over one less than their number (the coincidences).
    """
    wrong_R, right_R, mixed_R = units_R3.T
    with np.errstate(invalid="ignore", divide="ignore"):
        found_R = 1 - (wrong_R + right_R - 1) * mixed_R / (wrong_R * right_R)
    return np.where(wrong_R * right_R > 0, found_R, np.nan)
