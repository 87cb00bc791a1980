"""Step AUROC of several scorers on the same steps, and how far one is above another.

J is the number of judged steps: PRM800K's rating -1 is wrong, 0 and 1 are right; in ProcessBench
the steps before the first error are right, that one is wrong, later ones are not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rung.core import ChainRecord
from rung.eval import Estimate
from rung.eval.ranking import Ranking
from rung.eval.statistics import FloatArray, bootstrap, resample_weights

RESAMPLES = 2_000


class Steps(NamedTuple):
    """Judged steps that both scorers have scored."""

    scores_2J: FloatArray
    right_J: np.ndarray
    problem_J: np.ndarray
    num_problems: int


def auroc_gap(
    records: Sequence[ChainRecord], first: str, second: str, *, resamples: int = RESAMPLES
) -> Estimate:
    """Step AUROC of the first scorer minus the second's, resampled together over problems.

    Raises:
        ValueError: The steps are all right, or all wrong.
    """
    steps = _judged(records, (first, second))
    rankings = [Ranking.of(scores_J, steps.right_J) for scores_J in steps.scores_2J]

    def gap(weights_P: FloatArray) -> float:
        values = [ranking.auroc(weights_P[steps.problem_J]) for ranking in rankings]
        return values[0] - values[1]

    found = bootstrap(gap, resample_weights(steps.num_problems, resamples=resamples))
    if found is None:
        raise ValueError("an AUROC needs right steps and wrong ones")
    return found


def on_same_steps(record: ChainRecord, first: str, second: str) -> ChainRecord:
    """The record with the second scorer's scores only where the first has some.

    Steps beyond a model's context have no score: without this the two would be measured on
    different steps.
    """
    leading, other = record.scores_by(first), record.scores_by(second)
    if leading is None or other is None:
        return record
    pairs = zip(leading.scores, other.scores, strict=True)
    return record.with_scores(
        replace(other, scores=tuple(None if a is None else b for a, b in pairs))
    )


def _judged(records: Sequence[ChainRecord], scorers: tuple[str, str]) -> Steps:
    rows: list[tuple[float, float, bool, int]] = []
    problems: dict[str, int] = {}
    for record in records:
        found = [record.scores_by(scorer) for scorer in scorers]
        first, second = (s.scores if s else (None,) * len(record.chain.steps) for s in found)
        problem = problems.setdefault(record.chain.problem.root_id, len(problems))
        for label, a, b in zip(record.labels[0].labels, first, second, strict=True):
            if label is not None and a is not None and b is not None:
                rows.append((a, b, label >= 0.5, problem))
    a, b, right, problem = zip(*rows, strict=True)
    return Steps(np.array([a, b]), np.array(right), np.array(problem), len(problems))
