"""Where early abort and early stopping draw the line: from scored chains, with a stated error.

Both read chains of calibration problems, all N of each scored to their end by the scorer that the
search will use. The bounds hold for new problems that are exchangeable with these (drawn alike,
same policy, same scorer), on average over the draw of the calibration problems, and are exact for
any scorer, calibrated or not.

Shape letters: P problems, N chains of one problem.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rung.core.aggregate import Aggregation
from rung.core.errors import RungError
from rung.core.types import Chain, ChainRecord
from rung.search.best_of_n import best_of_n

NEVER = 2.0
"""A value that no aggregation within [0, 1] reaches."""

Pool = Sequence[ChainRecord]
"""The N chains of one problem, in the order in which they were sampled."""


def abort_below(
    pools_P: Sequence[Pool], aggregation: Aggregation, scorer: str | None, error: float
) -> float:
    """The highest value under which a chain may be given up.

    For a new problem the chance that best-of-N's winner ever has a lower running value, and so
    would have been given up, is at most `error`: a split-conformal quantile (Vovk et al., 2005)
    of the lowest running values of the calibration problems' winners. Looking after every step
    costs nothing, since the lowest of all looks is what is bounded.

    Returns:
        The value; -inf, which gives nobody up, when there are fewer than 1 / error - 1 problems.

    Raises:
        RungError: A problem has no scored chain, or `error` is out of range.
    """
    _check(pools_P, scorer, error)
    return _quantile([_lowest_of_winner(pool, aggregation, scorer) for pool in pools_P], error)


def abort_inside_below(
    pools_P: Sequence[Pool],
    aggregation: Aggregation,
    scorer: str | None,
    error: float,
    looks: Callable[[Chain], Sequence[float]],
) -> float:
    """As `abort_below`, for looks inside steps: under which score of what is written so far.

    The chance that best-of-N's winner ever scores lower at a whole word inside a step is at most
    `error`, so it holds for looks at any of these places, however often one looks. Both lines
    together may err as often as their errors add up to.

    Args:
        pools_P: As there.
        aggregation: Ranks the chains.
        scorer: Whose scores count.
        error: The bound.
        looks: A chain's scores inside its steps (`rung.search.scoring.looks_inside`).
    """
    _check(pools_P, scorer, error)
    winners = [_winner(pool, aggregation, scorer) for pool in pools_P]
    return _quantile([min(looks(one.chain), default=math.inf) for one in winners], error)


def stop_above(
    pools_P: Sequence[Pool],
    aggregation: Aggregation,
    scorer: str | None,
    error: float,
    batch: int,
) -> float:
    """The lowest value at which sampling may stop.

    For a new problem the chance that stopping turns a right answer of best-of-N into a wrong one
    is at most `error`: conformal risk control (Angelopoulos et al., arXiv 2208.02814) of that
    loss, made monotone by its largest value at or above each threshold.

    Args:
        pools_P: With outcomes.
        aggregation: Ranks the chains; its values must not exceed 1.
        scorer: Whose scores count.
        error: The bound.
        batch: Chains between two looks, as the search will have.

    Returns:
        The value; `NEVER` when no threshold keeps the bound.

    Raises:
        RungError: A problem has no scored chain or a chain no outcome, or `error` is out of range.
    """
    _check(pools_P, scorer, error)
    if any(record.outcome is None for pool in pools_P for record in pool):
        raise RungError("a chain has no outcome; 'rung label verify' makes them")
    curves_P = [_losses(pool, aggregation, scorer, batch) for pool in pools_P]
    values = sorted({value for curve in curves_P for value, _ in curve}, reverse=True)
    found = NEVER
    lost = 0
    reached = [0] * len(curves_P)
    has_lost = [False] * len(curves_P)
    for value in values:
        for k, curve in enumerate(curves_P):
            while reached[k] < len(curve) and curve[reached[k]][0] >= value:
                is_lost = curve[reached[k]][1]
                lost += is_lost and not has_lost[k]
                has_lost[k] |= is_lost
                reached[k] += 1
        if (lost + 1) / (len(pools_P) + 1) > error:
            break
        found = value
    return found


def _losses(
    pool: Pool, aggregation: Aggregation, scorer: str | None, batch: int
) -> list[tuple[float, bool]]:
    """Thresholds from high to low at which this problem stops elsewhere, and what that loses.

    A threshold stops at the first batch whose best value reaches it. So only values matter that
    no earlier batch has reached, and for a threshold between two of them the later one's batch
    is where sampling stops.
    """
    scores = [record.scores_by(scorer) for record in pool]
    is_right = [record.outcome is not None and record.outcome.is_correct for record in pool]
    full_is_right = is_right[best_of_n(scores, aggregation).index]
    curve: list[tuple[float, bool]] = []
    highest = -math.inf
    for upto in range(batch, len(pool) + batch, batch):
        choice = best_of_n(scores[:upto], aggregation)
        if choice.value is not None and choice.value > highest:
            highest = choice.value
            curve.append((highest, full_is_right and not is_right[choice.index]))
    return curve[::-1]


def _lowest_of_winner(pool: Pool, aggregation: Aggregation, scorer: str | None) -> float:
    scores = _winner(pool, aggregation, scorer).scores_by(scorer)
    assert scores is not None
    return min(aggregation.running(scores.known))


def _winner(pool: Pool, aggregation: Aggregation, scorer: str | None) -> ChainRecord:
    return pool[best_of_n([record.scores_by(scorer) for record in pool], aggregation).index]


def _quantile(lowest_P: Sequence[float], error: float) -> float:
    """The highest of these that at most a share `error` of new ones is expected to fall below."""
    allowed = math.floor(error * (len(lowest_P) + 1) + 1e-9)
    return sorted(lowest_P)[allowed - 1] if allowed else -math.inf


def _check(pools_P: Sequence[Pool], scorer: str | None, error: float) -> None:
    if not 0 < error < 1:
        raise RungError(f"the error is {error}, expected between 0 and 1")
    for pool in pools_P:
        scores = (record.scores_by(scorer) for record in pool)
        if not any(one is not None and one.known for one in scores):
            raise RungError(f"problem {pool[0].chain.problem.id!r} has no scored chain")
