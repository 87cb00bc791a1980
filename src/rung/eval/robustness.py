"""How much of a score is about the form: originals against their variants, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rung.core import ChainRecord, RungError, StepScores
from rung.eval.choose import scorers_of
from rung.eval.processbench import THRESHOLD, predicted_first_error
from rung.eval.ranking import auroc_of_problems
from rung.eval.statistics import (
    CONFIDENCE,
    Estimate,
    FloatArray,
    estimate,
    estimate_mean,
    resample_weights,
)
from rung.eval.subsets import IntArray
from rung.eval.variants import META, Told, by_name

RESAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class VariantChange:
    """What one change of form does to one scorer's scores of the original steps."""

    scorer: str
    variant: str
    num_chains: int
    num_steps: int
    mean_change: Estimate | None
    """Variant minus original: above 0, the form is liked."""
    mean_size: Estimate | None
    """Mean absolute change."""
    flipped: Estimate | None
    """Share of steps that change sides of the threshold."""
    moved: Estimate | None
    """Share of chains whose first step below the threshold is another one, or none."""
    auroc_change: Estimate | None
    """Step AUROC on the variants minus that on the originals; None without labels."""


class _Pair(NamedTuple):
    """One chain as it was and as it is in a variant, on the steps that both have scores for."""

    problem: str
    before: list[float]
    after: list[float]
    labels: list[float | None]
    moved: bool


def robustness(
    records: Iterable[ChainRecord],
    *,
    scorers: Sequence[str] = (),
    threshold: float = THRESHOLD,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[VariantChange]:
    """Compare scored variants with their scored originals.

    Args:
        records: What `variant_records` made, scored.
        scorers: Whose scores; by default everyone's.
        threshold: A step with a lower score is doubted.
        confidence: Share of the bootstrap's resamples inside the intervals.
        resamples: Bootstrap resamples of the problems.
        seed: Of the resamples.

    Raises:
        RungError: There are no variants, or none that a scorer has read with its original.
    """
    changed, originals = by_name(records, META)
    if not changed:
        raise RungError(
            "no chain here is a variant of another; give --scorer, or write variants with "
            "--variants and score them"
        )
    everyone = [*originals.values(), *(r for some in changed.values() for _, r in some)]
    names = list(scorers) or scorers_of(everyone)
    found: list[VariantChange] = []
    for scorer in names:
        for variant, some in changed.items():
            pairs = [
                pair
                for told, record in some
                if (pair := _pair(originals.get(told.of), record, told, scorer, threshold))
            ]
            if pairs:
                found.append(
                    _change(scorer, variant, pairs, threshold, confidence, resamples, seed)
                )
    if not found:
        raise RungError("no variant has scores by one who has scored its original too")
    return found


def _pair(
    original: ChainRecord | None,
    variant: ChainRecord,
    told: Told,
    scorer: str,
    threshold: float,
) -> _Pair | None:
    """None where the scorer has not read both."""
    before = None if original is None else original.scores_by(scorer)
    after = variant.scores_by(scorer)
    if original is None or before is None or after is None:
        return None
    if len(told.places) != len(before.scores) or max(told.places) >= len(after.scores):
        raise RungError(f"the places of variant {told.name!r} of chain {told.of} don't fit it")
    aligned = StepScores(tuple(after.scores[place] for place in told.places), scorer)
    labels = original.labels[0].labels if len(original.labels) == 1 else (None,) * len(told.places)
    both = [
        (b, a, y)
        for b, a, y in zip(before.scores, aligned.scores, labels, strict=True)
        if b is not None and a is not None
    ]
    if not both:
        return None
    moved = predicted_first_error(before, threshold) != predicted_first_error(aligned, threshold)
    befores, afters, targets = map(list, zip(*both, strict=True))
    return _Pair(original.chain.problem.root_id, befores, afters, targets, moved)


def _change(
    scorer: str,
    variant: str,
    pairs: Sequence[_Pair],
    threshold: float,
    confidence: float,
    resamples: int,
    seed: int,
) -> VariantChange:
    row = {name: k for k, name in enumerate(dict.fromkeys(pair.problem for pair in pairs))}
    problem_B = np.array([row[pair.problem] for pair in pairs])
    problem_J = np.repeat(problem_B, [len(pair.before) for pair in pairs])
    before_J = np.array([score for pair in pairs for score in pair.before])
    after_J = np.array([score for pair in pairs for score in pair.after])
    weights_RP = resample_weights(len(row), resamples=resamples, seed=seed)

    def mean(values: FloatArray, problem: IntArray) -> Estimate | None:
        return estimate_mean(values, problem, weights_RP, confidence=confidence)

    flipped_J = (before_J < threshold) != (after_J < threshold)
    moved_B = np.array([pair.moved for pair in pairs])
    return VariantChange(
        scorer=scorer,
        variant=variant,
        num_chains=len(pairs),
        num_steps=len(before_J),
        mean_change=mean(after_J - before_J, problem_J),
        mean_size=mean(np.abs(after_J - before_J), problem_J),
        flipped=mean(flipped_J.astype(np.float64), problem_J),
        moved=mean(moved_B.astype(np.float64), problem_B),
        auroc_change=_auroc_change(pairs, before_J, after_J, problem_J, weights_RP, confidence),
    )


def _auroc_change(
    pairs: Sequence[_Pair],
    before_J: FloatArray,
    after_J: FloatArray,
    problem_J: IntArray,
    weights_RP: FloatArray,
    confidence: float,
) -> Estimate | None:
    labels = [label for pair in pairs for label in pair.labels]
    known_J = np.array([label is not None for label in labels])
    if not known_J.any():
        return None
    right = np.array([label >= 0.5 for label in labels if label is not None])

    def auroc_of(scores_J: FloatArray) -> Callable[[FloatArray], FloatArray]:
        # problems without a labeled step weigh nothing, whatever their number
        return auroc_of_problems(
            scores_J[known_J], right, problem_J[known_J], num_problems=weights_RP.shape[1]
        )

    rows = np.vstack([np.ones(weights_RP.shape[1]), weights_RP])
    change_R = auroc_of(after_J)(rows) - auroc_of(before_J)(rows)
    return estimate(float(change_R[0]), change_R[1:], confidence=confidence)
