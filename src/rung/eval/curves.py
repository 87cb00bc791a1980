"""Best-of-n curves: how often each rule picks a right chain, from n = 1 to N.

P is the number of problems, K of quantities that are resampled together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from rung.core import ChainRecord, RungError
from rung.eval.expected import accuracies
from rung.eval.gaps import GapPoint, gaps_between
from rung.eval.pools import AnswerKey, ChainCounts, Names, Pool, gather, same_answer
from rung.eval.statistics import (
    CONFIDENCE,
    RESAMPLES,
    FloatArray,
    bootstrap_means,
    two_level_weights,
)

VOTE_SUBSETS = 200
"""Random subsets of a problem's chains over which votes are averaged."""
SHARE_WITH_ALL_N = 0.9
"""The curves go as far as this share of the problems has chains."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Accuracy of one rule with n chains a problem, with its bootstrap interval; all 0 to 1."""

    n: int
    accuracy: float
    low: float
    high: float


T = TypeVar("T")
P = TypeVar("P", CurvePoint, GapPoint)


@dataclass(frozen=True, slots=True)
class BestOfN:
    """Every rule's curve, and the paired gaps between PRM, ORM and majority.

    Curves are named `prm_RULE` and `weighted_prm_RULE` (RULE from `rung.core.AGGREGATIONS`),
    `orm`, `weighted_orm`, `majority`, `random` and `oracle`; gaps `FIRST_minus_SECOND`. With a
    verifier each has a twin, `verified_...`, that picks among the chains that are not refuted.
    """

    curves: Mapping[str, tuple[CurvePoint, ...]]
    gaps: Mapping[str, tuple[GapPoint, ...]]
    ns: tuple[int, ...]
    pass_at_1: float
    prm: str | None
    orm: str | None
    num_problems: int
    problems_left_out: int
    """They have fewer chains than the largest n."""
    chains: ChainCounts
    confidence: float
    resamples: int
    vote_subsets: int
    seed: int
    verifier: str | None = None

    def at(self, curve: str, n: int) -> CurvePoint:
        """One point of a curve.

        Raises:
            KeyError: There is no such curve or no such n.
        """
        return _point(self.curves[curve], n)

    def gap_at(self, gap: str, n: int) -> GapPoint:
        """One point of a gap.

        Raises:
            KeyError: There is no such gap or no such n.
        """
        return _point(self.gaps[gap], n)


def best_of_n(
    records: Iterable[ChainRecord],
    *,
    prm: str | None,
    orm: str | None,
    verifier: str | None = None,
    answer_key: AnswerKey = same_answer,
    ns: Sequence[int] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    vote_subsets: int = VOTE_SUBSETS,
    seed: int = 0,
) -> BestOfN:
    """Measure how well each rule picks among n chains of a problem.

    A problem with more chains than n counts with the average over all its subsets of n: exactly
    for rules that pick the best score, for `random` and for `oracle`; for votes exactly where
    there are at most `vote_subsets` subsets, else over that many random ones. Rules that see
    equal scores, or equally many votes, share the expectation.

    A verifier refutes a chain where it labels one of its steps below 0.5. Every rule is then
    measured a second time, on those of the n chains that are not refuted, or on all where all are:
    tools first, the scorer after them, as in T1 (arXiv 2504.04718).

    Args:
        records: Chains with outcomes, answers and scores; several a problem.
        prm: The scorer whose step scores are combined by each aggregation; None for no PRM.
        orm: The scorer whose last score is the chain's; None for no ORM.
        verifier: The source of the labels that refute chains, as "arithmetic"; None for none.
        answer_key: What equal answers share, for votes.
        ns: Numbers of chains; by default 1, 2, 4, ... and the largest that nine problems in ten
            have. Problems with fewer chains are left out and counted.
        confidence: Share of the bootstrap's resamples inside the intervals.
        resamples: Bootstrap resamples of the problems, and sign flips of the paired tests.
        vote_subsets: Random subsets over which votes are averaged.
        seed: Of subsets, resamples and flips.

    Raises:
        RungError: No chain can be used, or no problem has enough of them, or none has a label from
            the verifier.
        ValueError: A number in `ns` is below 1.
    """
    gathered = gather(records, prm=prm, orm=orm, verifier=verifier, answer_key=answer_key)
    how = _How(prm, orm, verifier, confidence, resamples, vote_subsets, seed)
    return _measure([gathered], ns, how)


def best_of_n_over_seeds(
    runs: Iterable[Iterable[ChainRecord]],
    *,
    prm: str | None,
    orm: str | None,
    verifier: str | None = None,
    answer_key: AnswerKey = same_answer,
    ns: Sequence[int] | None = None,
    seed: int = 0,
) -> BestOfN:
    """The same over several trainings, as of several seeds: means over the problems of all.

    The intervals hold for another training as well: they are t intervals over the trainings, never
    narrower than over the problems alone (`rung.eval.statistics.two_level_weights`). p-values are
    over problems alone. Where two trainings were tested on one question, it counts as two problems.

    Args:
        runs: Each training's chains, with the scores of that training's scorers.
        prm: As in `best_of_n`; the scorer has one name in all runs.
        orm: The same.
        verifier: As in `best_of_n`.
        answer_key: What equal answers share, for votes.
        ns: As in `best_of_n`.
        seed: Of subsets, resamples and flips.

    Raises:
        RungError: There are no runs; and as `best_of_n`, of any of the runs.
        ValueError: As `best_of_n`.
    """
    gathered = [
        gather(records, prm=prm, orm=orm, verifier=verifier, answer_key=answer_key)
        for records in runs
    ]
    if not gathered:
        raise RungError("there are no runs to measure")
    how = _How(prm, orm, verifier, CONFIDENCE, RESAMPLES, VOTE_SUBSETS, seed)
    return _measure(gathered, ns, how)


class _How(NamedTuple):
    prm: str | None
    orm: str | None
    verifier: str | None
    confidence: float
    resamples: int
    vote_subsets: int
    seed: int


def _measure(
    gathered: Sequence[tuple[list[Pool], Names, ChainCounts]], ns: Sequence[int] | None, how: _How
) -> BestOfN:
    pools, names = [pool for found, _, _ in gathered for pool in found], gathered[0][1]
    sizes = _check_sizes(ns) if ns is not None else default_sizes(pools)
    kept = [[pool for pool in found if len(pool) >= sizes[-1]] for found, _, _ in gathered]
    if not all(kept):
        most = min(max(map(len, found)) for found, _, _ in gathered)
        raise RungError(f"no problem has {sizes[-1]} usable chains; the most is {most}")
    used = [pool for found in kept for pool in found]
    verified = how.verifier is not None
    accuracy = accuracies(
        used, names, sizes, verified=verified, draws=how.vote_subsets, seed=how.seed
    )
    weights_RP = two_level_weights(list(map(len, kept)), resamples=how.resamples, seed=how.seed)
    curves = _curves(accuracy, sizes, weights_RP, how.confidence)
    return BestOfN(
        curves=curves,
        gaps=gaps_between(
            accuracy,
            names.picks,
            sizes,
            weights_RP,
            confidence=how.confidence,
            seed=how.seed,
        ),
        ns=sizes,
        pass_at_1=curves["random"][0].accuracy,
        num_problems=len(used),
        problems_left_out=len(pools) - len(used),
        chains=_counts([counts for _, _, counts in gathered], pools, used),
        **how._asdict(),
    )


def _check_sizes(ns: Sequence[int]) -> tuple[int, ...]:
    if not ns or min(ns) < 1:
        raise ValueError(f"numbers of chains start at 1, not {list(ns)}")
    return tuple(sorted(set(ns)))


def default_sizes(pools: Sequence[Pool]) -> tuple[int, ...]:
    """1, 2, 4, ... and the most chains that nine problems in ten have."""
    sizes = sorted(map(len, pools), reverse=True)
    largest = sizes[min(len(sizes), math.ceil(SHARE_WITH_ALL_N * len(sizes))) - 1]
    return (*(2**k for k in range((largest - 1).bit_length())), largest)


def _counts(
    seen: Sequence[ChainCounts], pools: Sequence[Pool], kept: Sequence[Pool]
) -> ChainCounts:
    used = sum(map(len, kept))
    return ChainCounts(
        used=used,
        without_outcome=sum(counts.without_outcome for counts in seen),
        without_scores=sum(counts.without_scores for counts in seen),
        in_small_problems=sum(map(len, pools)) - used,
        partly_scored=sum(pool.num_partly_scored for pool in kept),
        without_answer=sum(int((pool.keys_M < 0).sum()) for pool in kept),
        refuted=sum(int(pool.refuted_M.sum()) for pool in kept),
        right_but_refuted=sum(int(pool.correct_M[pool.refuted_M].sum()) for pool in kept),
    )


def _curves(
    accuracy: Mapping[str, FloatArray],
    ns: Sequence[int],
    weights_RP: FloatArray,
    confidence: float,
) -> dict[str, tuple[CurvePoint, ...]]:
    """Resampled together: every curve sees the same problems drawn."""
    mean_K, low_K, high_K = bootstrap_means(
        np.concatenate(list(accuracy.values()), axis=1), weights_RP, confidence=confidence
    )
    sizes_K = list(ns) * len(accuracy)
    points_K = [
        CurvePoint(n, float(mean), float(low), float(high))
        for n, mean, low, high in zip(sizes_K, mean_K, low_K, high_K, strict=True)
    ]
    return dict(zip(accuracy, _rows(points_K, len(ns)), strict=True))


def _rows(points_K: Sequence[T], width: int) -> list[tuple[T, ...]]:
    return [tuple(points_K[k : k + width]) for k in range(0, len(points_K), width)]


def _point(points: Sequence[P], n: int) -> P:
    found = next((point for point in points if point.n == n), None)
    if found is None:
        raise KeyError(f"n = {n} is not one of {[point.n for point in points]}")
    return found
