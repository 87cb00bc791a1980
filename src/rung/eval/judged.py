"""The steps that have a label and a score, of all chains together, as arrays.

J is the number of these judged steps. A label counts as right from 0.5 on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rung.core import ChainRecord, RungError
from rung.eval.statistics import FloatArray
from rung.eval.subsets import BoolArray, IntArray


@dataclass(slots=True)
class LeftOut:
    """What could not be judged."""

    unlabeled_chains: int = 0
    unscored_chains: int = 0
    unscored_steps: int = 0


class _Step(NamedTuple):
    score: float
    is_right: bool
    position: int
    problem: int


@dataclass(frozen=True, slots=True)
class Judged:
    """One scorer against one source of labels, step by step."""

    scores_J: FloatArray
    right_J: BoolArray
    position_J: IntArray
    """0-based."""
    problem_J: IntArray
    """Row of each step's problem, in order of appearance."""
    num_problems: int
    num_chains: int
    left_out: LeftOut


def judge_steps(records: Sequence[ChainRecord], scorer: str, label_source: str) -> Judged:
    """Hold the scorer's scores beside the labels.

    Raises:
        RungError: No step has both.
    """
    steps: list[_Step] = []
    problems: dict[str, int] = {}
    left_out = LeftOut()
    num_chains = 0
    for record in records:
        problem = problems.get(record.chain.problem.root_id, len(problems))
        judged = _judged_steps(record, scorer, label_source, problem, left_out)
        if judged:
            num_chains += 1
            problems[record.chain.problem.root_id] = problem
            steps += judged
    if not steps:
        raise RungError(f"no step has both a score by {scorer!r} and a label from {label_source!r}")
    scores, right, position, problem_of = zip(*steps, strict=True)
    return Judged(
        scores_J=np.array(scores, dtype=np.float64),
        right_J=np.array(right, dtype=np.bool_),
        position_J=np.array(position, dtype=np.int64),
        problem_J=np.array(problem_of, dtype=np.int64),
        num_problems=len(problems),
        num_chains=num_chains,
        left_out=left_out,
    )


def _judged_steps(
    record: ChainRecord, scorer: str, label_source: str, problem: int, left_out: LeftOut
) -> list[_Step]:
    labels, scores = record.labels_from(label_source), record.scores_by(scorer)
    if labels is None or all(label is None for label in labels.labels):
        left_out.unlabeled_chains += 1
        return []
    if scores is None:
        left_out.unscored_chains += 1
        return []
    labeled = [
        (score, label, position)
        for position, (label, score) in enumerate(zip(labels.labels, scores.scores, strict=True))
        if label is not None
    ]
    judged = [_Step(s, y >= 0.5, k, problem) for s, y, k in labeled if s is not None]
    if judged:
        left_out.unscored_steps += len(labeled) - len(judged)
    else:
        left_out.unscored_chains += 1
    return judged
