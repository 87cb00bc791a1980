"""AUROC: P(a right step is scored above a wrong one), exact, with ties and weights.

J is the number of judged steps of all chains together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rung.eval.statistics import FloatArray
from rung.eval.subsets import BoolArray, IntArray


@dataclass(frozen=True, slots=True)
class Ranking:
    """Steps sorted once, so that the AUROC under many weightings costs O(J) each.

    Steps are compared within their stratum only. A cell is one score within one stratum.
    """

    cell_J: IntArray
    """Each step's cell; cells are numbered by stratum, then by rising score."""
    rights: IntArray
    """Which of the J steps are right."""
    wrongs: IntArray
    start_C: IntArray
    """For each cell, the first cell of its stratum."""
    end_C: IntArray
    """For each cell, the first cell of the next stratum."""

    @classmethod
    def of(
        cls, scores_J: FloatArray, right_J: BoolArray, strata_J: IntArray | None = None
    ) -> Ranking:
        """Sort the steps; without strata every right step is compared to every wrong one."""
        strata_J = np.zeros(len(scores_J), dtype=np.int64) if strata_J is None else strata_J
        order_J = np.lexsort((scores_J, strata_J))
        strata, scores = strata_J[order_J], scores_J[order_J]
        new_stratum = np.diff(strata, prepend=strata[:1] - 1) != 0
        is_new = new_stratum | (np.diff(scores, prepend=scores[:1] - 1) != 0)
        sorted_cells = np.cumsum(is_new) - 1
        cell_J = np.empty(len(scores_J), dtype=np.int64)
        cell_J[order_J] = sorted_cells
        start_C = np.maximum.accumulate(np.where(new_stratum, sorted_cells, 0)[is_new])
        return cls(
            cell_J,
            np.flatnonzero(right_J),
            np.flatnonzero(~right_J),
            start_C,
            np.searchsorted(start_C, start_C, side="right"),
        )

    def auroc(self, weights_J: FloatArray | None = None) -> float:
        """The share of comparisons that come out right, a tie counting half.

        With strata this is the mean of the strata's AUROCs, weighted by their comparisons.
        NaN where there is nothing to compare.
        """
        right_C, wrong_C = (self._count(some, weights_J) for some in (self.rights, self.wrongs))
        below = np.concatenate([[0.0], np.cumsum(wrong_C)])
        before_C = below[self.start_C]
        comparisons = float(right_C @ (below[self.end_C] - before_C))
        concordant = float(right_C @ (below[:-1] - before_C + 0.5 * wrong_C))
        return concordant / comparisons if comparisons > 0 else float("nan")

    def _count(self, steps: IntArray, weights_J: FloatArray | None) -> FloatArray:
        weights = None if weights_J is None else weights_J[steps]
        counted = np.bincount(self.cell_J[steps], weights, minlength=len(self.start_C))
        return counted.astype(np.float64)


def auroc(
    scores_J: FloatArray, right_J: BoolArray, strata_J: IntArray | None = None
) -> float | None:
    """AUROC of the scores (see `Ranking`); None where there is nothing to compare."""
    value = Ranking.of(scores_J, right_J, strata_J).auroc()
    return None if np.isnan(value) else value


def auroc_of_problems(
    scores_J: FloatArray, right_J: BoolArray, problem_J: IntArray, *, num_problems: int
) -> Callable[[FloatArray], FloatArray]:
    """The AUROC under any weighting of the problems, as a ratio of quadratic forms.

    Entry (p, q) of the matrix counts the comparisons that come out right between the right steps of
    problem p and the wrong ones of problem q. It is made once, in O(J P log J); then the AUROC of
    weights is `w C w` over the weighted number of right steps times that of wrong ones.

    Args:
        scores_J: Of all steps together.
        right_J: Whether the label says the step is right.
        problem_J: Row of each step's problem.
        num_problems: Rows there are; some may have no step.

    Returns:
        From `weights_RP` to `auroc_R`; NaN where there is nothing to compare.
    """
    rights, problem_of_rights = scores_J[right_J], problem_J[right_J]
    concordant_PP = np.zeros((num_problems, num_problems))
    for q in np.unique(problem_J[~right_J]):
        wrongs = np.sort(scores_J[~right_J & (problem_J == q)])
        below = np.searchsorted(wrongs, rights, "left") + np.searchsorted(wrongs, rights, "right")
        concordant_PP[:, q] = np.bincount(problem_of_rights, below / 2, minlength=num_problems)
    right_P, wrong_P = (
        np.bincount(problem_J[kind], minlength=num_problems) for kind in (right_J, ~right_J)
    )

    def auroc_of(weights_RP: FloatArray) -> FloatArray:
        concordant_R = ((weights_RP @ concordant_PP) * weights_RP).sum(axis=1)
        comparisons_R = (weights_RP @ right_P) * (weights_RP @ wrong_P)
        with np.errstate(invalid="ignore"):
            return concordant_R / np.where(comparisons_R > 0, comparisons_R, np.nan)

    return auroc_of
