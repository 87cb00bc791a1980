"""Step metrics: does a scorer tell right steps from wrong ones?

J is the number of judged steps (see `rung.eval.judged`). Intervals are by bootstrap over problems.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np

from rung.core import ChainRecord
from rung.eval.calibration import Calibration, calibration
from rung.eval.choose import choose_label_source, choose_scorer
from rung.eval.judged import Judged, judge_steps
from rung.eval.localization import Localization, localization
from rung.eval.positions import BUCKETS, Bucket, bucket_of
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
class BucketCalibration:
    """Whether scores are probabilities at early steps, and at late ones."""

    bucket: Bucket
    num_steps: int
    num_wrong: int
    mean_score: float
    calibration: Calibration


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
    localization: Localization
    calibration: Calibration
    by_position: tuple[PositionMetrics, ...]
    by_bucket: tuple[BucketCalibration, ...]
    """Calibration by position, in ranges that double; few steps make a calibration error large."""
    unlabeled_chains: int
    """Left out: no label on any step."""
    unscored_chains: int
    """Left out: labeled, but the scorer has no score for any labeled step."""
    unscored_steps: int
    """Left out: labeled steps without a score."""


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
    judged = judge_steps(records, scorer, label_source)
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
        localization=localization(
            records,
            scorer=scorer,
            label_source=label_source,
            threshold=threshold,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
        ),
        calibration=calibration(
            judged.scores_J, judged.right_J, judged.problem_J, weights_RP, confidence=confidence
        ),
        by_position=_by_position(judged, weights_RP, confidence),
        by_bucket=_by_bucket(judged, weights_RP, confidence),
        **asdict(judged.left_out),
    )


def _auroc(
    judged: Judged,
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
    judged: Judged, weights_RP: FloatArray, confidence: float
) -> tuple[PositionMetrics, ...]:
    place_J = np.minimum(judged.position_J, POSITIONS)
    return tuple(
        _at_position(judged, int(place), place_J == place, weights_RP, confidence)
        for place in np.unique(place_J)
    )


def _by_bucket(
    judged: Judged, weights_RP: FloatArray, confidence: float
) -> tuple[BucketCalibration, ...]:
    bucket_J = np.array([bucket_of(int(position)) for position in judged.position_J])
    parts = [(bucket, _only(judged, bucket_J == k)) for k, bucket in enumerate(BUCKETS)]
    return tuple(
        BucketCalibration(
            bucket,
            len(here.scores_J),
            int((~here.right_J).sum()),
            float(here.scores_J.mean()),
            calibration(
                here.scores_J, here.right_J, here.problem_J, weights_RP, confidence=confidence
            ),
        )
        for bucket, here in parts
        if len(here.scores_J)
    )


def _only(judged: Judged, here_J: BoolArray) -> Judged:
    return replace(
        judged,
        scores_J=judged.scores_J[here_J],
        right_J=judged.right_J[here_J],
        problem_J=judged.problem_J[here_J],
        position_J=judged.position_J[here_J],
    )


def _at_position(
    judged: Judged,
    position: int,
    here_J: BoolArray,
    weights_RP: FloatArray,
    confidence: float,
) -> PositionMetrics:
    here = _only(judged, here_J)
    return PositionMetrics(
        position=position,
        num_steps=len(here.scores_J),
        num_wrong=int((~here.right_J).sum()),
        mean_score=float(here.scores_J.mean()),
        auroc=_auroc(here, here.scores_J, None, weights_RP, confidence),
    )
