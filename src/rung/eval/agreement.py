"""How far sources of labels agree, and how one errs against another that is trusted.

Every number has an interval over problems (see `rung.eval.statistics`). A label of 0.5 and above
says right. Steps that chains share count once.

P is the number of problems, R of resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from rung.core import ChainRecord, RungError
from rung.eval.chance import alpha, kappa
from rung.eval.statistics import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    FloatArray,
    estimate,
    estimate_share,
    resample_weights,
)
from rung.label.step_table import StepRow, StepTable, step_table

Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]
POSITIONS = (1, 2, 3, 4, 5, 9)
"""Where bins begin: the fifth to the eighth step are one, and so are those behind."""
LENGTHS = (0, 50, 100, 200, 400)
"""Characters."""


@dataclass(frozen=True, slots=True)
class Errors:
    """How a source errs against a trusted one, on some of the steps."""

    by: str
    """"all", "position", "length" (in characters) or "domain"."""
    group: str
    num_steps: int
    """Steps that the trusted source judged."""
    wrong_said_wrong: int
    wrong_said_right: int
    wrong_not_judged: int
    right_said_wrong: int
    right_said_right: int
    right_not_judged: int
    accuracy: Estimate | None
    """Of the steps that both judged."""
    missed: Estimate | None
    """P(says right | wrong): errors that it overlooks."""
    false_alarms: Estimate | None
    """P(says wrong | right)."""
    judged: Estimate | None
    """Share of the trusted source's steps that it judged."""


@dataclass(frozen=True, slots=True)
class Pair:
    """How far two sources agree."""

    first: str
    second: str
    num_steps: int
    """Steps that both judged."""
    agreement: Estimate | None
    """Share of them on which they say the same."""
    kappa: Estimate | None
    """Cohen's; None where both only ever say one thing."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far all sources agree."""

    sources: tuple[str, ...]
    pairs: tuple[Pair, ...]
    alpha: Estimate | None
    """Krippendorff's, nominal, over all sources and whatever each judged."""
    num_steps: int
    """Steps that at least two sources judged."""
    num_problems: int


def agreement(
    records: Iterable[ChainRecord],
    sources: Sequence[str],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """Cohen's kappa of every pair and Krippendorff's alpha of all.

    Cohen (1960); Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, nominal data
    with missing values. Both are closed forms of counts, so the counts of each problem are enough
    to resample problems. Tested against scikit-learn, the package krippendorff and the paper's own
    example: a library would have to be called again for every resample.

    Raises:
        RungError: There are fewer than two sources, or one has no labels.
    """
    said_SL, problem_S = _said(records, sources)
    weights_RP = resample_weights(int(problem_S.max()) + 1, resamples=resamples, seed=seed)
    pairs: list[Pair] = []
    for (i, first), (j, second) in combinations(enumerate(sources), 2):
        cells_S4 = _cells(said_SL[:, i], said_SL[:, j])
        num_steps = int(cells_S4.sum())
        cells_P4 = _by_problem(cells_S4, problem_S)
        same = estimate_share(
            cells_P4[:, [0, 3]].sum(axis=1),
            cells_P4.sum(axis=1),
            weights_RP,
            confidence=confidence,
        )
        found = _estimate(cells_P4, weights_RP, kappa, confidence)
        pairs.append(Pair(first, second, num_steps, same, found))
    together = _together(said_SL, problem_S, weights_RP, confidence)
    return Agreement(tuple(sources), tuple(pairs), *together, weights_RP.shape[1])


class Together(NamedTuple):
    """How far all sources agree, in one number."""

    alpha: Estimate | None
    """Krippendorff's, as in `Agreement`."""
    num_steps: int
    """Steps that at least two sources judged."""


def agreement_together(
    records: Iterable[ChainRecord],
    sources: Sequence[str],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Together:
    """What `agreement` says of all, without its pairs: of 50 people there are 1225.

    Raises:
        RungError: There are fewer than two sources, or one has no labels.
    """
    said_SL, problem_S = _said(records, sources)
    weights_RP = resample_weights(int(problem_S.max()) + 1, resamples=resamples, seed=seed)
    return _together(said_SL, problem_S, weights_RP, confidence)


def error_profile(
    records: Iterable[ChainRecord],
    source: str,
    trusted: str,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Errors]:
    """How a source errs: over all steps, by position, by length and by domain.

    Raises:
        RungError: One of the two has no labels, or the trusted one is the source itself.
    """
    if source == trusted:
        raise RungError(f"{source!r} is compared with itself")
    table = step_table(records, [source, trusted])
    said_SL, problem_S = table.said_SL, _problems(table)
    weights_RP = resample_weights(int(problem_S.max()) + 1, resamples=resamples, seed=seed)
    cells_S6 = _cells_with_gaps(said_SL[:, 0], said_SL[:, 1])
    found: list[Errors] = []
    for (by, group), inside_S in _groups(table).items():
        if counts := int(cells_S6[inside_S].sum()):
            sums_P6 = _by_problem(cells_S6 * inside_S[:, None], problem_S)
            found.append(_errors(by, group, counts, sums_P6, weights_RP, confidence))
    return found


def _said(records: Iterable[ChainRecord], sources: Sequence[str]) -> tuple[FloatArray, Numbers]:
    if len(sources) < 2:
        raise RungError("agreement needs two sources or more")
    table = step_table(records, sources)
    return table.said_SL, _problems(table)


def _together(
    said_SL: FloatArray, problem_S: Numbers, weights_RP: FloatArray, confidence: float
) -> Together:
    units_P3 = _by_problem(_units(said_SL), problem_S)
    num_steps = int(((~np.isnan(said_SL)).sum(axis=1) >= 2).sum())
    return Together(_estimate(units_P3, weights_RP, alpha, confidence), num_steps)


def _units(said_SL: FloatArray) -> FloatArray:
    right_S, count_S = np.nansum(said_SL, axis=1), (~np.isnan(said_SL)).sum(axis=1)
    wrong_S, pairable_S = count_S - right_S, count_S >= 2
    mixed_S = wrong_S * right_S / np.maximum(count_S - 1, 1)
    return np.stack([wrong_S, right_S, mixed_S], axis=1) * pairable_S[:, None]


def _cells(first_S: FloatArray, second_S: FloatArray) -> FloatArray:
    return np.stack(
        [(first_S == a) & (second_S == b) for a in (0, 1) for b in (0, 1)], axis=1
    ).astype(np.float64)


def _cells_with_gaps(said_S: FloatArray, trusted_S: FloatArray) -> FloatArray:
    """Columns: wrong said wrong, right, not judged; right said wrong, right, not judged."""
    said = [said_S == 0, said_S == 1, np.isnan(said_S)]
    return np.stack([(trusted_S == t) & one for t in (0, 1) for one in said], axis=1).astype(
        np.float64
    )


def _problems(table: StepTable) -> Numbers:
    number: dict[str, int] = {}
    rows = table.rows.values()
    return np.array([number.setdefault(row.problem, len(number)) for row in rows], dtype=np.int64)


def _by_problem(counts_SC: FloatArray, problem_S: Numbers) -> FloatArray:
    sums_PC = np.zeros((int(problem_S.max()) + 1, counts_SC.shape[1]))
    np.add.at(sums_PC, problem_S, counts_SC)
    return sums_PC


def _estimate(
    sums_PC: FloatArray,
    weights_RP: FloatArray,
    read: Callable[[FloatArray], FloatArray],
    confidence: float,
) -> Estimate | None:
    value = float(read(sums_PC.sum(axis=0, keepdims=True))[0])
    return estimate(value, read(weights_RP @ sums_PC), confidence=confidence)


def _errors(
    by: str,
    group: str,
    num_steps: int,
    sums_P6: FloatArray,
    weights_RP: FloatArray,
    confidence: float,
) -> Errors:
    def estimated(part: Sequence[int], whole: Sequence[int]) -> Estimate | None:
        part_P, whole_P = sums_P6[:, part].sum(axis=1), sums_P6[:, whole].sum(axis=1)
        return estimate_share(part_P, whole_P, weights_RP, confidence=confidence)

    cells = [int(count) for count in sums_P6.sum(axis=0)]
    return Errors(
        by,
        group,
        num_steps,
        *cells,
        accuracy=estimated([0, 4], [0, 1, 3, 4]),
        missed=estimated([1], [0, 1]),
        false_alarms=estimated([3], [3, 4]),
        judged=estimated([0, 1, 3, 4], [0, 1, 2, 3, 4, 5]),
    )


def _groups(
    table: StepTable,
) -> dict[tuple[str, str], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    rows = list(table.rows.values())
    names = {("all", "all"): [True] * len(rows)}
    kinds: list[tuple[str, Callable[[StepRow], str], list[str]]] = [
        ("position", lambda row: _bin(row.position + 1, POSITIONS), _bins(POSITIONS)),
        ("length", lambda row: _bin(row.num_chars, LENGTHS), _bins(LENGTHS)),
        ("domain", lambda row: row.domain, sorted({row.domain for row in rows})),
    ]
    for by, group_of, groups in kinds:
        found = [group_of(row) for row in rows]
        names |= {(by, group): [one == group for one in found] for group in groups}
    return {key: np.array(inside, dtype=np.bool_) for key, inside in names.items()}


def _bins(starts: Sequence[int]) -> list[str]:
    ends = [start - 1 for start in starts[1:]]
    closed = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=False)]
    return [*closed, f"{starts[-1]}+"]


def _bin(value: int, starts: Sequence[int]) -> str:
    return _bins(starts)[sum(value >= start for start in starts) - 1]
