"""Fits calibration maps on half of the problems and measures them on the other half.

The maps that are kept are the very ones that were measured. J is the number of judged steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rung.core import ChainRecord, RungError
from rung.data.partition import split_by_problem
from rung.eval.calibration import Calibration, calibration
from rung.eval.statistics import CONFIDENCE, FloatArray, resample_weights
from rung.eval.subsets import IntArray
from rung.score.calibration import (
    Isotonic,
    Method,
    Temperature,
    fit_isotonic,
    fit_temperature,
)

MEASURED_SHARE = 0.5
"""Of the problems: the others are for the fit."""


@dataclass(frozen=True, slots=True)
class Half:
    """The judged steps of one half of the problems."""

    num_problems: int
    num_steps: int
    mean_label: float
    """The share of right steps."""


@dataclass(frozen=True, slots=True)
class Recalibration:
    """A scorer's calibration before and after, on problems that the maps were not fitted on."""

    scorer: str
    label_source: str
    """Whose labels; "outcome" for an ORM."""
    fitted: Half
    measured: Half
    temperature: Temperature
    isotonic: Isotonic
    before: Calibration
    after: dict[Method, Calibration]
    unjudged_steps: int
    """Left out: steps without a label or without a score, in both halves."""


class Judged(NamedTuple):
    """Steps with a label and a score."""

    scores_J: FloatArray
    labels_J: FloatArray
    problem_J: IntArray
    num_problems: int
    num_left_out: int

    @property
    def summary(self) -> Half:
        """Their counts."""
        return Half(self.num_problems, len(self.labels_J), float(self.labels_J.mean()))


def recalibrate(
    records: Iterable[ChainRecord],
    *,
    scorer: str,
    label_source: str | None,
    confidence: float = CONFIDENCE,
    resamples: int,
    seed: int = 0,
) -> Recalibration:
    """Fit both maps on half of the problems, measure them and the raw scores on the other half.

    Args:
        records: Labeled and scored chains that the scorer was not trained on.
        scorer: Whose scores.
        label_source: Whose step labels, which may be soft; None to take the verdict on the
            answer as the last step's label, as an ORM learns it.
        confidence: Share of the bootstrap's resamples inside the intervals.
        resamples: Bootstrap resamples of the measured problems.
        seed: Of the halves and of the resamples.

    Raises:
        RungError: There are fewer than two problems, or a half has no judged steps, or the half
            for the fit only right ones or only wrong ones.
    """
    halves = split_by_problem(records, MEASURED_SHARE, seed)
    fitted = judged_steps(halves.train, scorer, label_source)
    measured = judged_steps(halves.held_out, scorer, label_source)
    temperature = fit_temperature(fitted.scores_J, fitted.labels_J)
    isotonic = fit_isotonic(fitted.scores_J, fitted.labels_J)
    weights_RP = resample_weights(measured.num_problems, resamples=resamples, seed=seed)

    def measure(scores_J: FloatArray) -> Calibration:
        labels_J, problem_J = measured.labels_J, measured.problem_J
        return calibration(scores_J, labels_J, problem_J, weights_RP, confidence=confidence)

    return Recalibration(
        scorer=scorer,
        label_source=label_source or "outcome",
        fitted=fitted.summary,
        measured=measured.summary,
        temperature=temperature,
        isotonic=isotonic,
        before=measure(measured.scores_J),
        after={
            "temperature": measure(temperature(measured.scores_J)),
            "isotonic": measure(isotonic(measured.scores_J)),
        },
        unjudged_steps=fitted.num_left_out + measured.num_left_out,
    )


def judged_steps(records: Sequence[ChainRecord], scorer: str, label_source: str | None) -> Judged:
    """The steps that have both a label and a score by `scorer`.

    Raises:
        RungError: There are none.
    """
    scores: list[float] = []
    labels: list[float] = []
    problem_of: list[int] = []
    problems: dict[str, int] = {}
    num_steps = 0
    for record in records:
        num_steps += len(record.chain.steps) if label_source else 1
        for score, label in _pairs(record, scorer, label_source):
            root = record.chain.problem.root_id
            problem_of.append(problems.setdefault(root, len(problems)))
            scores.append(score)
            labels.append(label)
    if not scores:
        whose = f"a label from {label_source!r}" if label_source else "a checked answer"
        raise RungError(f"half of the problems have no step with a score by {scorer!r} and {whose}")
    return Judged(
        np.array(scores, dtype=np.float64),
        np.array(labels, dtype=np.float64),
        np.array(problem_of, dtype=np.int64),
        len(problems),
        num_steps - len(scores),
    )


def _pairs(
    record: ChainRecord, scorer: str, label_source: str | None
) -> Iterable[tuple[float, float]]:
    found = record.scores_by(scorer)
    labels_S = _labels(record, label_source)
    scores_S = () if found is None else found.scores
    for score, label in zip(scores_S, labels_S, strict=False):
        if score is not None and label is not None:
            yield score, label


def _labels(record: ChainRecord, source: str | None) -> Sequence[float | None]:
    if source is not None:
        labels = record.labels_from(source)
        return () if labels is None else labels.labels
    last = None if record.outcome is None else float(record.outcome.is_correct)
    return (*[None] * (len(record.chain.steps) - 1), last)
