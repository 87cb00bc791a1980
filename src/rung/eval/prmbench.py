"""PRMBench's rule: are planted errors told from right steps, class by class?

Song et al. (arXiv 2501.03124). Every step of the edited chains is judged, as in the official code:

- verdicts, and which chains count: a step is taken as right if its score is above the threshold;
  of chains with the same class and number only the first counts
  https://github.com/ssmisya/PRMBench/blob/a1ae4eab803e14c4c6316bf89d1679b0486faa8c/mr_eval/tasks/prmtest_classified/task.py#L16-L300
- PRMScore, the mean of the F1 of right steps and the F1 of wrong ones, over all steps together; of
  multi_solutions, which has no wrong steps, the first F1 alone; an aspect is its classes' mean
  https://github.com/ssmisya/PRMBench/blob/a1ae4eab803e14c4c6316bf89d1679b0486faa8c/mr_visualize/eval_res_view/draw_tabs/form_latex_strs.ipynb

Differences: intervals by bootstrap over the solutions that were edited; an F1 without a hit is 0
(there -1); ReasonEval's second score, which the official code takes for the two classes of
simplicity, is not looked at; nor are the unedited solutions, which are no part of the score.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rung.core import ChainRecord, RungError
from rung.data import prmbench_key
from rung.eval.choose import choose_label_source, choose_scorer
from rung.eval.processbench import THRESHOLD
from rung.eval.statistics import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    FloatArray,
    estimate,
    resample_weights,
)

ASPECTS = {
    "simplicity": ("redundency", "circular"),
    "soundness": ("counterfactual", "step_contradiction", "domain_inconsistency", "confidence"),
    "sensitivity": ("missing_condition", "deception", "multi_solutions"),
}
"""The classes by their names in the data (one is misspelled there), in the paper's order."""
WITHOUT_ERRORS = frozenset({"multi_solutions"})


@dataclass(frozen=True, slots=True)
class PrmBenchRow:
    """How well one class of errors, or all of them, is recognized; all numbers 0 to 1."""

    name: str
    """The class, or "overall"."""
    score: Estimate | None
    """PRMScore."""
    f1: Estimate | None
    """Of right steps; None where there are none."""
    negative_f1: Estimate | None
    """Of wrong steps; None where there are none."""
    num_chains: int
    num_right: int
    """Steps labeled right."""
    num_wrong: int


@dataclass(frozen=True, slots=True)
class PrmBench:
    """One scorer on PRMBench."""

    scorer: str
    label_source: str
    threshold: float
    overall: PrmBenchRow
    aspects: dict[str, Estimate]
    """The mean PRMScore of each aspect's classes, where the chains have all of them."""
    classes: tuple[PrmBenchRow, ...]
    num_problems: int
    """Solutions that were edited."""
    repeated: int
    """Chains left out: one of the same class and number came before."""
    unscored: int
    """Chains left out: the scorer has no scores for these."""
    unscored_steps: int
    """Steps left out: labeled, but without a score, in chains that count."""


@dataclass(frozen=True, slots=True)
class Confusions:
    """Steps by label and verdict, per problem and class; C classes, G = 1 + C with "overall"."""

    classes: tuple[str, ...]
    counts_PC4: FloatArray
    """Right steps taken as right, right as wrong, wrong as wrong, wrong as right."""
    chains_C: tuple[int, ...]
    repeated: int
    unscored: int
    unscored_steps: int

    def totals(self, weights_RP: FloatArray) -> FloatArray:
        """All problems together: `counts_RG4`."""
        num_problems, num_classes, _ = self.counts_PC4.shape
        flat = weights_RP @ self.counts_PC4.reshape(num_problems, -1)
        counts_RC4 = flat.reshape(len(weights_RP), num_classes, 4)
        return np.concatenate([counts_RC4.sum(axis=1, keepdims=True), counts_RC4], axis=1)

    def scores(self, counts_RG4: FloatArray) -> FloatArray:
        """PRMScores, NaN where a part of one is undefined: `scores_RG`."""
        positive_RG, negative_RG = f1_scores(counts_RG4)
        alone_G = np.array([name in WITHOUT_ERRORS for name in ("overall", *self.classes)])
        return np.where(alone_G, positive_RG, (positive_RG + negative_RG) / 2)

    def aspects(self, scores_RG: FloatArray) -> dict[str, FloatArray]:
        """The mean of each aspect's classes, where all of them are there."""
        column = {name: 1 + k for k, name in enumerate(self.classes)}
        return {
            aspect: scores_RG[:, [column[name] for name in names]].mean(axis=1)
            for aspect, names in ASPECTS.items()
            if set(names) <= set(column)
        }


def prmbench(
    records: Iterable[ChainRecord],
    *,
    scorer: str | None = None,
    label_source: str | None = None,
    threshold: float = THRESHOLD,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PrmBench:
    """PRMScore of each class, of each aspect and overall.

    Args:
        records: PRMBench's chains, labeled and scored: `meta` has `classification` and `idx`.
        scorer: Whose scores; None for the only ones there are.
        label_source: Whose labels; None for the only ones there are.
        threshold: A step is taken as right if its score is above.
        confidence: Share of the bootstrap's resamples inside the intervals.
        resamples: Bootstrap resamples of the solutions that were edited.
        seed: Of the resamples.

    Raises:
        RungError: No chain is of PRMBench, has scores and labels, or there is no such scorer or
            label source.
    """
    records = list(records)
    scorer = choose_scorer(records, scorer)
    label_source = choose_label_source(records, label_source)
    found = confusions(records, scorer, label_source, threshold)
    num_problems = len(found.counts_PC4)
    drawn_RP = resample_weights(num_problems, resamples=resamples, seed=seed)
    counts_RG4 = found.totals(np.vstack([np.ones(num_problems), drawn_RP]))  # row 0: as they are
    scores_RG = found.scores(counts_RG4)

    def of_rows(values_R: FloatArray) -> Estimate | None:
        return estimate(values_R[0], values_R[1:], confidence=confidence)

    positive_RG, negative_RG = f1_scores(counts_RG4)
    rows = [
        PrmBenchRow(
            name=name,
            score=of_rows(scores_RG[:, g]),
            f1=of_rows(positive_RG[:, g]),
            negative_f1=of_rows(negative_RG[:, g]),
            num_chains=num_chains,
            num_right=int(counts_RG4[0, g, :2].sum()),
            num_wrong=int(counts_RG4[0, g, 2:].sum()),
        )
        for g, (name, num_chains) in enumerate(
            zip(("overall", *found.classes), (sum(found.chains_C), *found.chains_C), strict=True)
        )
    ]
    aspects = {name: of_rows(mean_R) for name, mean_R in found.aspects(scores_RG).items()}
    return PrmBench(
        scorer=scorer,
        label_source=label_source,
        threshold=threshold,
        overall=rows[0],
        aspects={name: mean for name, mean in aspects.items() if mean is not None},
        classes=tuple(rows[1:]),
        num_problems=num_problems,
        repeated=found.repeated,
        unscored=found.unscored,
        unscored_steps=found.unscored_steps,
    )


def f1_scores(counts_RG4: FloatArray) -> tuple[FloatArray, FloatArray]:
    """F1 of right steps and F1 of wrong ones; NaN where there are no such steps."""
    kept, lost, caught, missed = np.moveaxis(counts_RG4, -1, 0)
    with np.errstate(invalid="ignore"):
        positive = 2 * kept / np.where(kept + lost > 0, 2 * kept + missed + lost, 0.0)
        negative = 2 * caught / np.where(caught + missed > 0, 2 * caught + missed + lost, 0.0)
    return positive, negative


def confusions(
    records: Sequence[ChainRecord], scorer: str, label_source: str, threshold: float = THRESHOLD
) -> Confusions:
    """Hold the scorer's verdicts against the labels.

    Raises:
        RungError: No chain is of PRMBench, or none has scores and labels.
    """
    seen: set[str] = set()
    counts: dict[tuple[str, str], FloatArray] = {}
    chains: dict[str, int] = {}
    left = {"repeated": 0, "unscored": 0, "unscored_steps": 0}
    for record in records:
        name = prmbench_key(record)
        labels, scores = record.labels_from(label_source), record.scores_by(scorer)
        if name is None or labels is None:
            continue
        if name in seen:
            left["repeated"] += 1
            continue
        seen.add(name)
        if scores is None or not scores.known:
            left["unscored"] += 1
            continue
        kind = str(record.meta["classification"])
        cell = counts.setdefault((name.removeprefix(f"{kind}_"), kind), np.zeros(4))
        chains[kind] = chains.get(kind, 0) + 1
        for label, score in zip(labels.labels, scores.scores, strict=True):
            if label is not None and score is not None:
                cell[_kind_of_step(label >= 0.5, score > threshold)] += 1
            left["unscored_steps"] += label is not None and score is None
    if not counts:
        raise RungError(_why_nothing(seen, scorer, label_source))
    classes = _ordered(chains)
    return Confusions(classes, _stack(counts, classes), tuple(chains[c] for c in classes), **left)


def _kind_of_step(is_right: bool, taken_as_right: bool) -> int:
    return (0 if taken_as_right else 1) if is_right else (3 if taken_as_right else 2)


def _why_nothing(seen: set[str], scorer: str, label_source: str) -> str:
    if seen:
        return f"no chain of PRMBench has scores by {scorer!r}"
    return (
        f"no chain is of PRMBench with labels from {label_source!r}: "
        "its chains have 'classification' and 'idx' in meta"
    )


def _ordered(classes: Iterable[str]) -> tuple[str, ...]:
    """In the paper's order, others behind."""
    known = [name for names in ASPECTS.values() for name in names]
    present = list(classes)
    rest = [name for name in present if name not in known]
    return (*(name for name in known if name in present), *rest)


def _stack(counts: dict[tuple[str, str], FloatArray], classes: Sequence[str]) -> FloatArray:
    problems = {name: row for row, name in enumerate(dict.fromkeys(name for name, _ in counts))}
    stacked_PC4 = np.zeros((len(problems), len(classes), 4))
    for (problem, kind), cell in counts.items():
        stacked_PC4[problems[problem], classes.index(kind)] += cell
    return stacked_PC4
