"""PRMs on held-out chains with exact labels: four measures, their intervals, paired differences.

R is the number of resamples, P of problems, J of judged steps, M of a problem's chains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rung.core import AGGREGATIONS, ChainRecord, StepScores
from rung.eval.processbench import THRESHOLD, best_threshold, predicted_first_error
from rung.eval.ranking import Ranking
from rung.eval.statistics import FloatArray, resample_weights, student_shifts
from rung.eval.subsets import best_of_subset

TRUTH = "lab"
RESAMPLES = 1_000
Measure = Callable[[FloatArray], float]
"""From a weight a problem to a number."""


def measures(
    test: Sequence[ChainRecord],
    scores: Sequence[StepScores],
    trusted: Sequence[ChainRecord],
    trusted_scores: Sequence[StepScores],
) -> dict[str, Measure]:
    """What is measured of one PRM.

    Args:
        test: Chains with exact labels and outcomes, equally many a problem.
        scores: The PRM's, of the test chains.
        trusted: Chains with exact labels, of other problems; a threshold is tuned on them.
        trusted_scores: The PRM's, of those.
    """
    problem = _problems(test)
    known = [r.with_scores(s) for r, s in zip(trusted, trusted_scores, strict=True)]
    tuned = best_threshold(known, trusted_scores[0].scorer, TRUTH)
    return {
        "auroc": _auroc(test, scores, problem),
        "f1": _f1(test, scores, problem, THRESHOLD),
        "f1_tuned": _f1(test, scores, problem, tuned),
        "best_of_n": _best_of_n(test, scores, problem),
        "brier": _brier(test, scores, problem),
    }


def estimates(
    measured: Mapping[str, Sequence[Mapping[str, Measure]]],
    compared: Mapping[str, str],
    num_problems: int,
) -> dict[str, dict[str, Any]]:
    """Each source's measures, mean over seeds, and minus those of the source it is compared with.

    A resample draws problems, the same for all sources, and how far the seeds' mean is off, for
    each source its own: from Student's distribution, for seeds are few.

    Args:
        measured: Of each source, the measures of its PRMs, one a seed.
        compared: Which source each is compared with.
        num_problems: Of the test chains.
    """
    weights_RP = resample_weights(num_problems, resamples=RESAMPLES, seed=0)
    rng = np.random.default_rng(0)
    value: dict[str, dict[str, float]] = {}
    drawn: dict[str, dict[str, FloatArray]] = {}
    for source, prms in measured.items():
        seeds_RS = 1 / len(prms) + student_shifts(rng, RESAMPLES, len(prms))
        even_P = np.ones(num_problems)
        value[source] = {m: float(np.mean([prm[m](even_P) for prm in prms])) for m in prms[0]}
        drawn[source] = {
            m: (np.array([[prm[m](w_P) for prm in prms] for w_P in weights_RP]) * seeds_RS)
            .sum(axis=1)
            .clip(0.0, 1.0)
            for m in prms[0]
        }
    return {
        source: {
            measure: {
                **_interval(value[source][measure], drawn[source][measure]),
                "seeds": [float(prm[measure](np.ones(num_problems))) for prm in measured[source]],
                "minus_judge": _interval(
                    value[source][measure] - value[other][measure],
                    drawn[source][measure] - drawn[other][measure],
                ),
            }
            for measure in value[source]
        }
        for source, other in compared.items()
    }


def _interval(value: float, drawn_R: FloatArray) -> dict[str, float]:
    low, high = np.quantile(drawn_R, [0.025, 0.975])
    return {"value": value, "low": float(low), "high": float(high)}


def _problems(records: Sequence[ChainRecord]) -> list[int]:
    ids = [record.chain.problem.root_id for record in records]
    row = {name: k for k, name in enumerate(dict.fromkeys(ids))}
    return [row[name] for name in ids]


def _steps(
    test: Sequence[ChainRecord], scores: Sequence[StepScores], problem: Sequence[int]
) -> tuple[FloatArray, FloatArray, np.ndarray[Any, Any]]:
    """Score, label and problem of every judged step."""
    rows = [
        (score, label, p)
        for record, found, p in zip(test, scores, problem, strict=True)
        for score, label in zip(found.scores, record.labels_from(TRUTH).labels, strict=True)  # type: ignore[union-attr]
        if label is not None
    ]
    score_J, label_J, problem_J = (np.array(column) for column in zip(*rows, strict=True))
    return score_J.astype(float), label_J, problem_J


def _auroc(
    test: Sequence[ChainRecord], scores: Sequence[StepScores], problem: Sequence[int]
) -> Measure:
    score_J, label_J, problem_J = _steps(test, scores, problem)
    ranking = Ranking.of(score_J, label_J == 1)
    return lambda weights_P: ranking.auroc(weights_P[problem_J])


def _brier(
    test: Sequence[ChainRecord], scores: Sequence[StepScores], problem: Sequence[int]
) -> Measure:
    score_J, label_J, problem_J = _steps(test, scores, problem)
    square_P = np.bincount(problem_J, (score_J - label_J) ** 2)
    count_P = np.bincount(problem_J)
    return lambda weights_P: float(weights_P @ square_P / (weights_P @ count_P))


def _f1(
    test: Sequence[ChainRecord],
    scores: Sequence[StepScores],
    problem: Sequence[int],
    threshold: float,
) -> Measure:
    """ProcessBench's F1: of the accuracy on chains with an error and on those without."""
    sums_P22 = np.zeros((max(problem) + 1, 2, 2))
    for record, found, p in zip(test, scores, problem, strict=True):
        error = record.labels_from(TRUTH).first_error  # type: ignore[union-attr]
        is_hit = predicted_first_error(found, threshold) == error
        sums_P22[p, int(error is None)] += (is_hit, 1)

    def f1(weights_P: FloatArray) -> float:
        hits_22 = np.tensordot(weights_P, sums_P22, 1)
        a, b = hits_22[:, 0] / np.maximum(hits_22[:, 1], 1)
        return float(2 * a * b / (a + b)) if a + b else 0.0

    return f1


def _best_of_n(
    test: Sequence[ChainRecord], scores: Sequence[StepScores], problem: Sequence[int]
) -> Measure:
    """How often the chain with the highest minimum is right."""
    chains: dict[int, list[tuple[float, float]]] = {}
    for record, found, p in zip(test, scores, problem, strict=True):
        is_right = record.outcome is not None and record.outcome.is_correct
        chains.setdefault(p, []).append((AGGREGATIONS["min"](found.known), float(is_right)))
    picked = list[float]()
    for _, of_problem in sorted(chains.items()):
        score_M, right_M = np.array(of_problem).T
        picked.append(best_of_subset(score_M, right_M, [len(of_problem)])[0])
    picked_P = np.array(picked)
    return lambda weights_P: float(weights_P @ picked_P / weights_P.sum())
