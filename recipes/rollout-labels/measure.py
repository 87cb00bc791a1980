"""How wrong labels are, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rung.core import ChainRecord, RolloutCount, StepLabels
from rung.eval.statistics import bootstrap, resample_weights
from rung.label import (
    OmegaForest,
    OmegaRule,
    RolloutLabels,
    RolloutRule,
    RolloutSource,
    Spent,
    label_by_rollouts,
)


@dataclass(frozen=True, slots=True)
class Labeled:
    """What a method made of the chains."""

    labels: list[StepLabels]
    spent: Spent


def by_rollouts(
    records: Sequence[ChainRecord], rule: RolloutRule, source: RolloutSource
) -> Labeled:
    """Fixed or adaptive Monte-Carlo labels."""
    machine = RolloutLabels.start([r.chain for r in records], [r.outcome for r in records], rule)
    label_by_rollouts(machine, source)
    return Labeled(machine.result(), machine.spent)


def by_omega(records: Sequence[ChainRecord], rule: OmegaRule, source: RolloutSource) -> Labeled:
    """First errors by binary search."""
    machine = OmegaForest.start([r.chain for r in records], [r.outcome for r in records], rule)
    label_by_rollouts(machine, source)
    return Labeled(machine.result(), machine.spent)


def hardened(labeled: Labeled) -> Labeled:
    """Soft labels as hard ones: right where any rollout was."""
    hard = [
        StepLabels(tuple(None if y is None else float(y > 0) for y in given.labels), given.source)
        for given in labeled.labels
    ]
    return Labeled(hard, labeled.spent)


def counts_of(records: Sequence[ChainRecord], labeled: Labeled) -> dict[str, RolloutCount]:
    """The rollouts behind each prefix's label, by the prefix's id."""
    return {
        step.id: count
        for record, given in zip(records, labeled.labels, strict=True)
        for step, count in zip(record.chain.steps, given.counts or (), strict=True)
        if count is not None
    }


def label_error(records: Sequence[ChainRecord], labeled: Labeled) -> dict[str, float]:
    """Of the steps that the truth judges, the share with another label or none."""
    return _share(_wrong(records, labeled), _judged(records), records)


def label_error_gap(
    records: Sequence[ChainRecord], labeled: Labeled, baseline: Labeled
) -> dict[str, float]:
    """The label error minus the baseline's, on the same steps."""
    pairs = zip(_wrong(records, labeled), _wrong(records, baseline), strict=True)
    return _share([ours - theirs for ours, theirs in pairs], _judged(records), records)


def first_error_missed(records: Sequence[ChainRecord], labeled: Labeled) -> dict[str, float]:
    """The share of chains whose first error (or that there is none) is not found."""
    pairs = zip(records, labeled.labels, strict=True)
    missed = [float(r.labels[0].first_error != given.first_error) for r, given in pairs]
    return _share(missed, [1.0] * len(missed), records)


def value_error(
    records: Sequence[ChainRecord], labeled: Labeled, references: Mapping[str, RolloutCount]
) -> float:
    """Root mean square distance of soft labels from the prefixes' values, up to the first error.

    The references are estimates themselves, so their own variance is taken off.
    """
    squares, noise = list[float](), list[float]()
    for record, given in zip(records, labeled.labels, strict=True):
        rows = zip(record.chain.steps, record.labels[0].labels, given.labels, strict=True)
        for step, truth, label in rows:
            count = references.get(step.id)
            if truth is None or count is None:
                continue
            value = count.correct / count.total
            squares.append((value - (0.0 if label is None else label)) ** 2)
            noise.append(value * (1 - value) / (count.total - 1))
    return float(np.sqrt(max(0.0, np.mean(squares) - np.mean(noise))))


def _wrong(records: Sequence[ChainRecord], labeled: Labeled) -> list[float]:
    """For each chain the judged steps with another label or none."""
    return [
        sum(
            truth is not None and truth != y
            for truth, y in zip(record.labels[0].labels, given.labels, strict=True)
        )
        for record, given in zip(records, labeled.labels, strict=True)
    ]


def _judged(records: Sequence[ChainRecord]) -> list[float]:
    return [sum(truth is not None for truth in r.labels[0].labels) for r in records]


def _share(
    hits: Sequence[float], of: Sequence[float], records: Sequence[ChainRecord]
) -> dict[str, float]:
    """A ratio of sums with its bootstrap interval over problems."""
    problems = [record.chain.problem.root_id for record in records]
    places = {problem: place for place, problem in enumerate(dict.fromkeys(problems))}
    hits_P, of_P = np.zeros(len(places)), np.zeros(len(places))
    for problem, hit, weight in zip(problems, hits, of, strict=True):
        hits_P[places[problem]] += hit
        of_P[places[problem]] += weight
    weights_RP = resample_weights(len(places), seed=0)
    found = bootstrap(lambda w_P: float(w_P @ hits_P / (w_P @ of_P)), weights_RP)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return {"value": found.value, "low": found.low, "high": found.high}
