"""Several scorers by several measures: one table, and what of its differences is clear.

Each difference is tested by the paired bootstrap: both scorers on the same problems, drawn again
together. Its p-value is twice the share of resamples in which the difference is not on its side of
0, counting the data as one more: the level at which the percentile interval just reaches 0. All
tests of a table are one family, corrected by Holm (Scandinavian Journal of Statistics 6, 1979).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from rung.core import RungError
from rung.eval.measures import Measure
from rung.eval.statistics import CONFIDENCE, RESAMPLES, Estimate, FloatArray, estimate, holm
from rung.score.cost import Cost

DRAWN_AT_ONCE = 1_000
RESAMPLES_A_TEST = 50
"""So that the smallest p-value there can be, times the number of tests, stays below 0.05."""


@dataclass(frozen=True, slots=True)
class MeasureResult:
    """One column of the table."""

    name: str
    in_percent: bool
    lower_is_better: bool
    num_problems: int
    num_chains: int
    note: str
    published: tuple[str, str] | None
    """Where others' results of it stand: a benchmark of `published_results`, and its column."""
    scores: Mapping[str, Estimate | None]
    """By scorer; those that the measure doesn't apply to are missing."""


@dataclass(frozen=True, slots=True)
class PairTest:
    """One scorer against another on the same problems."""

    measure: str
    first: str
    second: str
    difference: float
    """First minus second, in the measure's own unit (0 to 1)."""
    low: float
    high: float
    p_value: float
    p_holm: float
    """The p-value, corrected for all tests of the table."""
    first_is_better: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """The table and its tests."""

    scorers: tuple[str, ...]
    measures: tuple[MeasureResult, ...]
    tests: tuple[PairTest, ...]
    costs: Mapping[str, Cost]
    """Of the scorers for which it is known."""
    confidence: float
    resamples: int
    seed: int


def compare(
    measures: Sequence[Measure],
    *,
    against: str | None = None,
    costs: Mapping[str, Cost] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Every scorer by every measure, and every pair of scorers tested.

    Args:
        measures: From `rung.eval.measures`.
        against: Test only differences from this scorer, which makes the family smaller.
        costs: Shown beside.
        confidence: Share of the bootstrap's resamples inside the intervals.
        resamples: Of the problems; by default enough for the correction to leave small p-values.
        seed: Of the resamples.

    Raises:
        RungError: There is nothing to compare, or no scorer called `against`.
    """
    if not measures:
        raise RungError(
            "nothing to compare: the chains need scores, and step labels ('rung label') or "
            "verdicts on several answers a problem ('rung label verify')"
        )
    scorers = tuple(dict.fromkeys(name for one in measures for name in one.statistics))
    if against is not None and against not in scorers:
        raise RungError(f"there are no scores by {against!r}; there are {', '.join(scorers)}")
    pairs = {one.name: _pairs(list(one.statistics), against) for one in measures}
    num_tests = sum(map(len, pairs.values()))
    resamples = resamples or max(RESAMPLES, RESAMPLES_A_TEST * num_tests)
    results: list[MeasureResult] = []
    tests: list[PairTest] = []
    for one in measures:
        values, drawn = _evaluate(one, resamples, seed)
        results.append(_result(one, values, drawn, confidence))
        tests += [
            test
            for first, second in pairs[one.name]
            if (test := _test(one, first, second, values, drawn, confidence)) is not None
        ]
    return Comparison(
        scorers, tuple(results), _corrected(tests), costs or {}, confidence, resamples, seed
    )


def _pairs(scorers: Sequence[str], against: str | None) -> list[tuple[str, str]]:
    if against is None:
        return list(combinations(scorers, 2))
    return [(name, against) for name in scorers if name != against and against in scorers]


def _evaluate(
    measure: Measure, resamples: int, seed: int
) -> tuple[dict[str, float], dict[str, FloatArray]]:
    """Each scorer's value, and its values in the same resamples."""
    ones = np.ones((1, measure.num_problems))
    values = {name: float(statistic(ones)[0]) for name, statistic in measure.statistics.items()}
    drawn: dict[str, list[FloatArray]] = {name: [] for name in measure.statistics}
    for weights_RP in _weights(measure.num_problems, resamples, seed):
        for name, statistic in measure.statistics.items():
            drawn[name].append(statistic(weights_RP))
    return values, {name: np.concatenate(parts) for name, parts in drawn.items()}


def _weights(num_problems: int, resamples: int, seed: int) -> Iterator[FloatArray]:
    """As `resample_weights`, in parts that fit the memory."""
    rng = np.random.default_rng(seed)
    even_P = np.full(num_problems, 1.0 / num_problems)
    for start in range(0, resamples, DRAWN_AT_ONCE):
        rows = min(DRAWN_AT_ONCE, resamples - start)
        yield rng.multinomial(num_problems, even_P, size=rows).astype(np.float64)


def _result(
    measure: Measure,
    values: Mapping[str, float],
    drawn: Mapping[str, FloatArray],
    confidence: float,
) -> MeasureResult:
    return MeasureResult(
        measure.name,
        measure.in_percent,
        measure.lower_is_better,
        measure.num_problems,
        measure.num_chains,
        measure.note,
        measure.published,
        {name: estimate(values[name], drawn[name], confidence=confidence) for name in values},
    )


def _test(
    measure: Measure,
    first: str,
    second: str,
    values: Mapping[str, float],
    drawn: Mapping[str, FloatArray],
    confidence: float,
) -> PairTest | None:
    """None where a value is undefined."""
    difference = values[first] - values[second]
    found = estimate(difference, drawn[first] - drawn[second], confidence=confidence)
    if found is None or found.low is None or found.high is None:
        return None
    p = bootstrap_p_value(drawn[first] - drawn[second])
    is_better = (difference < 0) if measure.lower_is_better else (difference > 0)
    return PairTest(measure.name, first, second, difference, found.low, found.high, p, p, is_better)


def bootstrap_p_value(differences_R: FloatArray) -> float:
    """Two-sided p-value of a difference, from its resamples; NaNs are left out."""
    known_R = differences_R[~np.isnan(differences_R)]
    fewest = min((known_R <= 0).sum(), (known_R >= 0).sum())
    return min(1.0, 2.0 * (1.0 + float(fewest)) / (1.0 + known_R.size))


def _corrected(tests: Sequence[PairTest]) -> tuple[PairTest, ...]:
    p_holm = holm([test.p_value for test in tests])
    return tuple(replace(test, p_holm=p) for test, p in zip(tests, p_holm, strict=True))
