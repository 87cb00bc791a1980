"""ProcessBench's rule: does a scorer find the first wrong step, and leave right chains alone?

Zheng et al. (arXiv 2412.06559), section 3: the predicted first error is the first step with a
score below the threshold, none if there is no such step. Accuracy is taken apart on chains with
an error (the very step must be found) and on chains without; F1 is their harmonic mean.
Differences: intervals by bootstrap over problems, and any labeled chains will do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rung.core import ChainRecord, RungError, StepScores
from rung.eval.choose import choose_label_source, choose_scorer
from rung.eval.statistics import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    FloatArray,
    estimate,
    resample_weights,
)

THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class FirstErrors:
    """How well one scorer finds the first errors of one set of chains; all accuracies 0 to 1."""

    scorer: str
    label_source: str
    subset: str
    threshold: float
    erroneous: Estimate | None
    """Accuracy on chains with a wrong step; None when there are no such chains."""
    correct: Estimate | None
    """Accuracy on chains without one."""
    f1: Estimate | None
    accuracy: Estimate | None
    """First-error accuracy: the share of all chains whose prediction is exactly right."""
    num_erroneous: int
    num_correct: int
    num_problems: int
    undecided: int
    """Left out: the labels don't say where the first error is (gaps before it, or no labels)."""
    unscored: int
    """Left out: the scorer has no scores for these."""
    partly_scored: int
    """Used: a step that the rule looks at has no score; such a step is never flagged."""


class Case(NamedTuple):
    """A chain by its thresholds: the prediction is right for above < threshold <= up_to."""

    problem: str
    has_error: bool
    above: float
    up_to: float
    partly_scored: bool

    def is_hit(self, threshold: float) -> bool:
        """Whether the predicted first error is the labeled one."""
        return self.above < threshold <= self.up_to


def predicted_first_error(scores: StepScores, threshold: float = THRESHOLD) -> int | None:
    """Index of the first step with a score below the threshold; None when there is none."""
    below = (k for k, s in enumerate(scores.scores) if s is not None and s < threshold)
    return next(below, None)


def is_decided(record: ChainRecord, label_source: str) -> bool:
    """Whether the labels say where the first error is, or that there is none."""
    labels = record.labels_from(label_source)
    return labels is not None and None not in labels.labels[: labels.first_error]


def processbench(
    records: Iterable[ChainRecord],
    *,
    scorer: str | None = None,
    label_source: str | None = None,
    threshold: float = THRESHOLD,
    tune_on: str | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[FirstErrors]:
    """First-error metrics of each subset (`meta["subset"]`; "all" where chains have none).

    Args:
        records: Labeled and scored chains.
        scorer: Whose scores; None for the only ones there are.
        label_source: Whose labels; None for the only ones there are.
        threshold: A step with a lower score is taken as wrong.
        tune_on: Use instead, for all subsets, the threshold that is best for F1 on this subset:
            the paper's rule (with gsm8k) for scorers whose 0.5 means nothing.
        confidence: Share of the bootstrap's resamples inside the intervals.
        resamples: Bootstrap resamples of the problems.
        seed: Of the resamples.

    Raises:
        RungError: No chain has both scores and a decided first error, or there is no such scorer,
            label source or subset.
    """
    records = list(records)
    scorer = choose_scorer(records, scorer)
    label_source = choose_label_source(records, label_source)
    subsets = by_subset(records)
    if tune_on is not None:
        if tune_on not in subsets:
            raise RungError(f"there is no subset {tune_on!r}, only {', '.join(subsets)}")
        threshold = best_threshold(subsets[tune_on], scorer, label_source)
    found = [
        first_errors(
            chosen,
            scorer=scorer,
            label_source=label_source,
            subset=name,
            threshold=threshold,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
        )
        for name, chosen in subsets.items()
    ]
    if not any(result.num_problems for result in found):
        raise RungError(
            f"no chain has scores by {scorer!r} and labels from {label_source!r} that say where "
            "its first error is"
        )
    return found


def by_subset(records: Iterable[ChainRecord]) -> dict[str, list[ChainRecord]]:
    """The records of each subset (`meta["subset"]`; "all" where chains have none)."""
    subsets: dict[str, list[ChainRecord]] = {}
    for record in records:
        subsets.setdefault(str(record.meta.get("subset", "all")), []).append(record)
    return subsets


def first_errors(
    records: Sequence[ChainRecord],
    *,
    scorer: str,
    label_source: str,
    subset: str = "all",
    threshold: float = THRESHOLD,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> FirstErrors:
    """First-error metrics of all the chains together; the arguments are `processbench`'s."""
    cases, undecided, unscored = cases_of(records, scorer, label_source)
    sums_P4 = sums_by_problem(cases, threshold)
    erroneous, correct, f1, accuracy = _estimates(sums_P4, confidence, resamples, seed)
    return FirstErrors(
        scorer=scorer,
        label_source=label_source,
        subset=subset,
        threshold=threshold,
        erroneous=erroneous,
        correct=correct,
        f1=f1,
        accuracy=accuracy,
        num_erroneous=sum(case.has_error for case in cases),
        num_correct=sum(not case.has_error for case in cases),
        num_problems=len(sums_P4),
        undecided=undecided,
        unscored=unscored,
        partly_scored=sum(case.partly_scored for case in cases),
    )


def best_threshold(records: Sequence[ChainRecord], scorer: str, label_source: str) -> float:
    """The threshold with the highest F1, found exactly: F1 only changes at the scores.

    Of equally good ones the lowest score that is a threshold.

    Raises:
        RungError: There are no chains with errors, or none without: F1 is undefined.
    """
    cases, _, _ = cases_of(records, scorer, label_source)
    kinds = [[case for case in cases if case.has_error is kind] for kind in (True, False)]
    if not all(kinds):
        raise RungError("tuning the threshold needs chains with a wrong step and chains without")
    candidates = np.array(
        sorted({x for case in cases for x in (case.above, case.up_to) if math.isfinite(x)} | {1.0})
    )
    erroneous, correct = (_hits(kind, candidates) / len(kind) for kind in kinds)
    return float(candidates[np.argmax(_harmonic(erroneous, correct))])


def _hits(cases: Sequence[Case], thresholds: FloatArray) -> FloatArray:
    winnable = [case for case in cases if case.above < case.up_to]
    above, up_to = (np.sort([case[k] for case in winnable]) for k in (2, 3))
    hits = np.searchsorted(above, thresholds) - np.searchsorted(up_to, thresholds)
    return hits.astype(np.float64)


def cases_of(
    records: Sequence[ChainRecord], scorer: str, label_source: str
) -> tuple[list[Case], int, int]:
    """The chains that can be told right from wrong; those undecided, and those without scores."""
    cases: list[Case] = []
    undecided = unscored = 0
    for record in records:
        labels, scores = record.labels_from(label_source), record.scores_by(scorer)
        error = None if labels is None else labels.first_error
        if not is_decided(record, label_source):
            undecided += 1
        elif scores is None or not scores.known:
            unscored += 1
        else:
            cases.append(_case(record.chain.problem.root_id, error, scores))
    return cases, undecided, unscored


def _case(problem: str, error: int | None, scores: StepScores) -> Case:
    """A step without a score is never flagged, so it counts as if it had the highest one."""
    before = [math.inf if score is None else score for score in scores.scores[:error]]
    at_error = None if error is None else scores.scores[error]
    above = -math.inf if error is None else math.inf if at_error is None else at_error
    is_partial = math.inf in before or (error is not None and at_error is None)
    return Case(problem, error is not None, above, min(before, default=math.inf), is_partial)


def sums_by_problem(cases: Sequence[Case], threshold: float) -> FloatArray:
    """Per problem: hits and chains with errors, hits and chains without."""
    row = {problem: k for k, problem in enumerate(dict.fromkeys(case.problem for case in cases))}
    sums_P4 = np.zeros((len(row), 4))
    for case in cases:
        column = 0 if case.has_error else 2
        sums_P4[row[case.problem], column : column + 2] += (case.is_hit(threshold), 1)
    return sums_P4


def accuracies(sums_R4: FloatArray) -> FloatArray:
    """Accuracy on erroneous, on correct chains, F1, accuracy on all: NaN where undefined."""
    hit_error, num_error, hit_correct, num_correct = sums_R4.T
    with np.errstate(invalid="ignore"):
        erroneous, correct = hit_error / num_error, hit_correct / num_correct
        overall = (hit_error + hit_correct) / (num_error + num_correct)
    return np.stack([erroneous, correct, _harmonic(erroneous, correct), overall], axis=1)


def _harmonic(a: FloatArray, b: FloatArray) -> FloatArray:
    """Harmonic mean; 0 where both are 0."""
    return 2 * a * b / np.where(a + b == 0, 1.0, a + b)


def _estimates(
    sums_P4: FloatArray, confidence: float, resamples: int, seed: int
) -> list[Estimate | None]:
    if len(sums_P4) == 0:
        return [None] * 4
    weights_RP = resample_weights(len(sums_P4), resamples=resamples, seed=seed)
    found_4 = accuracies(sums_P4.sum(axis=0, keepdims=True))[0]
    drawn_R4 = accuracies(weights_RP @ sums_P4)
    return [
        estimate(value, drawn_R, confidence=confidence)
        for value, drawn_R in zip(found_4, drawn_R4.T, strict=True)
    ]
