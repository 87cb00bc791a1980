"""Step metrics: does a scorer tell right steps from wrong ones?

J is the number of judged steps: those with a label and a score, of all chains together. A label
counts as right from 0.5 on. Intervals are by bootstrap over problems.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np

from rung.core import ChainRecord, RungError
from rung.eval.calibration import Calibration, calibration
from rung.eval.choose import choose_label_source, choose_scorer
from rung.eval.processbench import THRESHOLD, FirstErrors, first_errors
from rung.eval.ranking import Ranking
from rung.eval.statistics import (
    CONFIDENCE,
    Estimate,
    FloatArray,
    bootstrap,
    resample_weights,
)
from rung.eval.subsets import BoolArray, IntArray

STEP_RESAMPLES = 1_000
POSITIONS = 10
"""Steps from this position on are shown together."""


@dataclass(frozen=True, slots=True)
class PositionMetrics:
    """The steps that stand at one place of their chains."""

    position: int
    """0-based; the last one stands for itself and all later ones."""
    num_steps: int
    num_wrong: int
    mean_score: float
    auroc: Estimate | None
    """None where all steps are right, or all wrong."""


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """One scorer against one source of labels."""

    scorer: str
    label_source: str
    num_problems: int
    num_chains: int
    """Chains with at least one judged step."""
    num_steps: int
    num_wrong: int
    auroc: Estimate | None
    """P(a right step is scored above a wrong one); None where all steps are right, or all wrong."""
    auroc_within_position: Estimate | None
    """The same, comparing only steps at the same place of their chains."""
    auroc_of_position: Estimate | None
    """What "the earlier, the better" alone reaches: how much the place gives away."""
    first_error: FirstErrors
    calibration: Calibration
    by_position: tuple[PositionMetrics, ...]
    unlabeled_chains: int
    """Left out: no label on any step."""
    unscored_chains: int
    """Left out: labeled, but the scorer has no score for any labeled step."""
    unscored_steps: int
    """Left out: labeled steps without a score."""


@dataclass(slots=True)
class _LeftOut:
    unlabeled_chains: int = 0
    unscored_chains: int = 0
    unscored_steps: int = 0


class _Step(NamedTuple):
    score: float
    is_right: bool
    position: int
    problem: int


@dataclass(frozen=True, slots=True)
class _Judged:
    scores_J: FloatArray
    right_J: BoolArray
    position_J: IntArray
    problem_J: IntArray
    num_problems: int
    num_chains: int
    left_out: _LeftOut


def step_metrics(
    records: Iterable[ChainRecord],
    *,
    scorer: str | None = None,
    label_source: str | None = None,
    threshold: float = THRESHOLD,
    confidence: float = CONFIDENCE,
    resamples: int = STEP_RESAMPLES,
    seed: int = 0,
) -> StepMetrics:
    """Compare a scorer's step scores with step labels.

    Chains that stop at their first error give the label away by their length, and late steps
    are wrong more often: so the AUROC comes overall, at each position, and within positions, and
    with what the position alone reaches.

    Args:
        records: Labeled and scored chains.
        scorer: Whose scores; None for the only ones there are.
        label_source: Whose labels; None for the only ones there are.
        threshold: For the first-error metrics: a step with a lower score is taken as wrong.
        confidence: Share of the bootstrap's resamples inside the intervals.
        resamples: Bootstrap resamples of the problems.
        seed: Of the resamples.

    Raises:
        RungError: No step has both a label and a score.
    """
    records = list(records)
    scorer = choose_scorer(records, scorer)
    label_source = choose_label_source(records, label_source)
    found = first_errors(
        records,
        scorer=scorer,
        label_source=label_source,
        threshold=threshold,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )
    judged = _judge(records, scorer, label_source)
    weights_RP = resample_weights(judged.num_problems, resamples=resamples, seed=seed)
    return StepMetrics(
        scorer=scorer,
        label_source=label_source,
        num_problems=judged.num_problems,
        num_chains=judged.num_chains,
        num_steps=len(judged.scores_J),
        num_wrong=int((~judged.right_J).sum()),
        auroc=_auroc(judged, judged.scores_J, None, weights_RP, confidence),
        auroc_within_position=_auroc(
            judged, judged.scores_J, judged.position_J, weights_RP, confidence
        ),
        auroc_of_position=_auroc(
            judged, -judged.position_J.astype(np.float64), None, weights_RP, confidence
        ),
        first_error=found,
        calibration=calibration(
            judged.scores_J, judged.right_J, judged.problem_J, weights_RP, confidence=confidence
        ),
        by_position=_by_position(judged, weights_RP, confidence),
        **asdict(judged.left_out),
    )


def _judge(records: Sequence[ChainRecord], scorer: str, label_source: str) -> _Judged:
    steps: list[_Step] = []
    problems: dict[str, int] = {}
    left_out = _LeftOut()
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
    return _Judged(
        scores_J=np.array(scores, dtype=np.float64),
        right_J=np.array(right, dtype=np.bool_),
        position_J=np.array(position, dtype=np.int64),
        problem_J=np.array(problem_of, dtype=np.int64),
        num_problems=len(problems),
        num_chains=num_chains,
        left_out=left_out,
    )


def _judged_steps(
    record: ChainRecord, scorer: str, label_source: str, problem: int, left_out: _LeftOut
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


def _auroc(
    judged: _Judged,
    scores_J: FloatArray,
    strata_J: IntArray | None,
    weights_RP: FloatArray,
    confidence: float,
) -> Estimate | None:
    ranking = Ranking.of(scores_J, judged.right_J, strata_J)
    return bootstrap(
        lambda weights_P: ranking.auroc(weights_P[judged.problem_J]),
        weights_RP,
        confidence=confidence,
    )


def _by_position(
    judged: _Judged, weights_RP: FloatArray, confidence: float
) -> tuple[PositionMetrics, ...]:
    place_J = np.minimum(judged.position_J, POSITIONS)
    return tuple(
        _at_position(judged, int(place), place_J == place, weights_RP, confidence)
        for place in np.unique(place_J)
    )


def _at_position(
    judged: _Judged,
    position: int,
    here_J: BoolArray,
    weights_RP: FloatArray,
    confidence: float,
) -> PositionMetrics:
    here = replace(
        judged,
        scores_J=judged.scores_J[here_J],
        right_J=judged.right_J[here_J],
        problem_J=judged.problem_J[here_J],
    )
    return PositionMetrics(
        position=position,
        num_steps=len(here.scores_J),
        num_wrong=int((~here.right_J).sum()),
        mean_score=float(here.scores_J.mean()),
        auroc=_auroc(here, here.scores_J, None, weights_RP, confidence),
    )
