"""What scorers are compared by: each measure as a statistic of how often every problem is drawn.

The scorers of a measure have all read its chains, and its statistics take the same problems in the
same order: so two of them can be resampled together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rung.core import ChainRecord, RungError
from rung.eval.calibration import BINS, sum_up
from rung.eval.choose import reads_every_step
from rung.eval.judged import Judged, judge_steps
from rung.eval.prmbench import ASPECTS, confusions
from rung.eval.processbench import (
    THRESHOLD,
    accuracies,
    best_threshold,
    by_subset,
    cases_of,
    is_decided,
    sums_by_problem,
)
from rung.eval.ranking import auroc_of_problems
from rung.eval.statistics import FloatArray

PAPERS_SUBSETS = 4
"""ProcessBench's: a mean over fewer of them is not the published one."""
Statistic = Callable[[FloatArray], FloatArray]
"""From `weights_RP` to `values_R`; NaN where the drawn problems don't have the number."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One column of the comparison."""

    name: str
    statistics: Mapping[str, Statistic]
    """By scorer."""
    num_problems: int
    num_chains: int
    in_percent: bool = True
    """Shown in percent; else as it is, a number around 0 to 1."""
    lower_is_better: bool = False
    note: str = ""
    published: tuple[str, str] | None = None
    """Where others' results of it stand: a benchmark of `published_results`, and its column."""


@dataclass(frozen=True, slots=True)
class Common:
    """Chains with labels and a score by every one of the scorers, and how many lack one."""

    records: list[ChainRecord]
    scorers: list[str]
    left_out: int


def common(records: Sequence[ChainRecord], scorers: Sequence[str], *, steps: bool) -> Common:
    """The chains that all scorers have read, of those that any has.

    Args:
        records: Scored chains.
        scorers: Whose scores.
        steps: Take only scorers that read every step.
    """
    chosen = [name for name in scorers if not steps or reads_every_step(records, name)]
    read = [[_has_read(record, name) for name in chosen] for record in records]
    kept = [record for record, known in zip(records, read, strict=True) if known and all(known)]
    return Common(kept, chosen, sum(any(known) and not all(known) for known in read))


def _has_read(record: ChainRecord, scorer: str) -> bool:
    scores = record.scores_by(scorer)
    return scores is not None and bool(scores.known)


def processbench_measures(
    records: Sequence[ChainRecord],
    scorers: Sequence[str],
    label_source: str,
    tune_on: str | None = None,
) -> Iterator[Measure]:
    """ProcessBench's F1 on every subset, and their mean where there are several.

    Raises:
        RungError: There is no subset called `tune_on`.
    """
    found = common(records, scorers, steps=True)
    subsets = {
        name: decided
        for name, chosen in by_subset(found.records).items()
        if (decided := [record for record in chosen if is_decided(record, label_source)])
    }
    if tune_on is not None and tune_on not in subsets:
        raise RungError(f"there is no subset {tune_on!r}, only {', '.join(subsets)}")
    thresholds = {
        name: best_threshold(subsets[tune_on], name, label_source)
        if tune_on is not None
        else THRESHOLD
        for name in found.scorers
    }
    sums = {
        subset: {
            scorer: sums_by_problem(cases_of(chosen, scorer, label_source)[0], thresholds[scorer])
            for scorer in found.scorers
        }
        for subset, chosen in subsets.items()
    }
    for subset, of_scorers in sums.items():
        statistics = {scorer: _f1_of(sums_P4) for scorer, sums_P4 in of_scorers.items()}
        yield Measure(
            "first-error F1" if subset == "all" else f"first-error F1, {subset}",
            statistics,
            len(next(iter(of_scorers.values()))),
            len(subsets[subset]),
            note=_note(found),
            published=("processbench", f"{subset} F1"),
        )
    if len(sums) > 1:
        statistics = {
            scorer: _mean_of([of_scorers[scorer] for of_scorers in sums.values()])
            for scorer in found.scorers
        }
        num_problems = sum(len(next(iter(one.values()))) for one in sums.values())
        yield Measure(
            "first-error F1, mean of subsets",
            statistics,
            num_problems,
            sum(map(len, subsets.values())),
            published=("processbench", "average F1") if len(sums) == PAPERS_SUBSETS else None,
        )


def _f1_of(sums_P4: FloatArray) -> Statistic:
    return lambda weights_RP: accuracies(weights_RP @ sums_P4)[:, 2]


def _mean_of(parts: Sequence[FloatArray]) -> Statistic:
    """The mean F1 of subsets whose problems stand one after the other."""
    ends = np.cumsum([len(part) for part in parts])[:-1]

    def mean(weights_RP: FloatArray) -> FloatArray:
        drawn = np.split(weights_RP, ends, axis=1)
        f1s = [accuracies(w @ part)[:, 2] for w, part in zip(drawn, parts, strict=True)]
        return np.mean(f1s, axis=0)

    return mean


def prmbench_measures(
    records: Sequence[ChainRecord], scorers: Sequence[str], label_source: str
) -> Iterator[Measure]:
    """PRMScore overall and of each aspect."""
    found = common(records, scorers, steps=True)
    counts = {name: confusions(found.records, name, label_source) for name in found.scorers}
    first = next(iter(counts.values()))

    def overall(name: str) -> Statistic:
        one = counts[name]
        return lambda weights_RP: one.scores(one.totals(weights_RP))[:, 0]

    def aspect(name: str, of: str) -> Statistic:
        one = counts[name]
        return lambda weights_RP: one.aspects(one.scores(one.totals(weights_RP)))[of]

    size = len(first.counts_PC4), sum(first.chains_C)
    of_all = {name: overall(name) for name in counts}
    place = ("prmbench", "overall")
    yield Measure("PRMScore", of_all, *size, note=_note(found), published=place)
    for of, classes in ASPECTS.items():
        if set(classes) <= set(first.classes):
            statistics = {name: aspect(name, of) for name in counts}
            yield Measure(f"PRMScore, {of}", statistics, *size, published=("prmbench", of))


def step_measures(
    records: Sequence[ChainRecord], scorers: Sequence[str], label_source: str, where: str = ""
) -> Iterator[Measure]:
    """Step AUROC, calibration error and Brier score; `where` stands behind their names."""
    found = common(records, scorers, steps=True)
    labeled = [
        record
        for record in found.records
        if all(_has_judged(record, name, label_source) for name in found.scorers)
    ]
    judged = {name: judge_steps(labeled, name, label_source) for name in found.scorers}
    first = next(iter(judged.values()))
    size = first.num_problems, first.num_chains
    aurocs = {
        name: auroc_of_problems(
            one.scores_J, one.right_J, one.problem_J, num_problems=one.num_problems
        )
        for name, one in judged.items()
    }
    yield Measure(f"step AUROC{where}", aurocs, *size, in_percent=False, note=_note(found))
    eces = {name: _ece_of(one) for name, one in judged.items()}
    yield Measure(f"calibration error{where}", eces, *size, in_percent=False, lower_is_better=True)
    briers = {name: _brier_of(one) for name, one in judged.items()}
    yield Measure(f"Brier score{where}", briers, *size, in_percent=False, lower_is_better=True)


def _has_judged(record: ChainRecord, scorer: str, label_source: str) -> bool:
    labels, scores = record.labels_from(label_source), record.scores_by(scorer)
    return (
        labels is not None
        and scores is not None
        and any(
            label is not None and score is not None
            for label, score in zip(labels.labels, scores.scores, strict=True)
        )
    )


def _ece_of(judged: Judged) -> Statistic:
    sums = sum_up(judged.scores_J, judged.right_J, judged.problem_J, judged.num_problems, BINS)
    gaps_PH = sums.right_PH - sums.score_PH
    count_P = sums.count_PH.sum(axis=1)
    return lambda weights_RP: np.abs(weights_RP @ gaps_PH).sum(axis=1) / (weights_RP @ count_P)


def _brier_of(judged: Judged) -> Statistic:
    sums = sum_up(judged.scores_J, judged.right_J, judged.problem_J, judged.num_problems, BINS)
    count_P = sums.count_PH.sum(axis=1)
    return lambda weights_RP: (weights_RP @ sums.squares_P) / (weights_RP @ count_P)


def _note(found: Common) -> str:
    return f"{found.left_out} chains left out: not all have read them" if found.left_out else ""
