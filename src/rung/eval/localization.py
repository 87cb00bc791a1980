"""First errors, found or nearly: how far the first doubted step stands from the labeled error.

ProcessBench asks for the very step. A person who is sent to the step before or behind is helped
too, and an alarm that comes late says something else of a scorer than one that comes early. Works
on any labels that say where the first error is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rung.core import ChainRecord
from rung.eval.positions import BUCKETS, Bucket, bucket_of
from rung.eval.processbench import THRESHOLD, is_decided, predicted_first_error
from rung.eval.statistics import CONFIDENCE, RESAMPLES, Estimate, estimate, resample_weights

FAR = 3
"""Offsets from this on are counted together, on either side."""


@dataclass(frozen=True, slots=True)
class LocalizationAt:
    """The chains whose labeled first error stands in one range of places."""

    bucket: Bucket
    num_chains: int
    exact: Estimate | None
    within_one: Estimate | None


@dataclass(frozen=True, slots=True)
class Localization:
    """Where the first doubt stands in chains with an error; shares of these chains, 0 to 1."""

    threshold: float
    num_erroneous: int
    num_correct: int
    exact: Estimate | None
    within_one: Estimate | None
    """The doubted step is the wrong one, or stands next to it."""
    early: Estimate | None
    """A right step before it is doubted."""
    late: Estimate | None
    """It is passed over, and a later step doubted."""
    missed: Estimate | None
    """No step is doubted."""
    false_alarm: Estimate | None
    """Share of the chains without an error in which a step is doubted."""
    offsets: tuple[tuple[int, int], ...]
    """How often the first doubt stands so many steps behind the error (before it: below 0);
    `-FAR` and `FAR` stand for all that is farther. Chains that were missed are not in it."""
    by_position: tuple[LocalizationAt, ...]


class _Case(NamedTuple):
    problem: str
    error: int | None
    doubt: int | None

    @property
    def offset(self) -> int | None:
        """Steps from the error to the doubt."""
        return None if self.error is None or self.doubt is None else self.doubt - self.error


def localization(
    records: Iterable[ChainRecord],
    *,
    scorer: str,
    label_source: str,
    threshold: float = THRESHOLD,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Localization:
    """Hold each chain's first doubt against its labeled first error.

    Args:
        records: Labeled and scored chains; those whose labels leave the first error open, and
            those without scores, are passed over (`FirstErrors` counts them).
        scorer: Whose scores.
        label_source: Whose labels.
        threshold: A step with a lower score is doubted.
        confidence: Share of the bootstrap's resamples inside the intervals.
        resamples: Bootstrap resamples of the problems.
        seed: Of the resamples.
    """
    cases = list(_cases(records, scorer, label_source, threshold))
    erroneous = [case for case in cases if case.error is not None]
    correct = [case for case in cases if case.error is None]
    places = [bucket_of(case.error or 0) for case in erroneous]

    def share(hits: Sequence[bool], among: Sequence[_Case]) -> Estimate | None:
        return _share(hits, among, confidence, resamples, seed)

    offsets = [case.offset for case in erroneous]
    near = [offset is not None and abs(offset) <= 1 for offset in offsets]
    return Localization(
        threshold=threshold,
        num_erroneous=len(erroneous),
        num_correct=len(correct),
        exact=share([offset == 0 for offset in offsets], erroneous),
        within_one=share(near, erroneous),
        early=share([offset is not None and offset < 0 for offset in offsets], erroneous),
        late=share([offset is not None and offset > 0 for offset in offsets], erroneous),
        missed=share([offset is None for offset in offsets], erroneous),
        false_alarm=share([case.doubt is not None for case in correct], correct),
        offsets=_histogram([offset for offset in offsets if offset is not None]),
        by_position=tuple(
            LocalizationAt(
                bucket,
                len(here),
                share([offsets[j] == 0 for j in here], [erroneous[j] for j in here]),
                share([near[j] for j in here], [erroneous[j] for j in here]),
            )
            for k, bucket in enumerate(BUCKETS)
            if (here := [j for j, place in enumerate(places) if place == k])
        ),
    )


def _cases(
    records: Iterable[ChainRecord], scorer: str, label_source: str, threshold: float
) -> Iterator[_Case]:
    for record in records:
        scores = record.scores_by(scorer)
        if scores is None or not scores.known or not is_decided(record, label_source):
            continue
        labels = record.labels_from(label_source)
        error = None if labels is None else labels.first_error
        doubt = predicted_first_error(scores, threshold)
        yield _Case(record.chain.problem.root_id, error, doubt)


def _histogram(offsets: Iterable[int]) -> tuple[tuple[int, int], ...]:
    counts = Counter(max(-FAR, min(FAR, offset)) for offset in offsets)
    return tuple((offset, counts[offset]) for offset in range(-FAR, FAR + 1))


def _share(
    hits: Sequence[bool], cases: Sequence[_Case], confidence: float, resamples: int, seed: int
) -> Estimate | None:
    """The share of hits, resampled over problems; None where there are no chains."""
    if not cases:
        return None
    row = {name: k for k, name in enumerate(dict.fromkeys(case.problem for case in cases))}
    problem_B = np.array([row[case.problem] for case in cases])
    hits_P = np.bincount(problem_B, np.array(hits, dtype=np.float64), minlength=len(row))
    chains_P = np.bincount(problem_B, minlength=len(row)).astype(np.float64)
    weights_RP = resample_weights(len(row), resamples=resamples, seed=seed)
    drawn_R = (weights_RP @ hits_P) / (weights_RP @ chains_P)
    return estimate(float(hits_P.sum() / chains_P.sum()), drawn_R, confidence=confidence)
