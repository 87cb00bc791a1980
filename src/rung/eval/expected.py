"""How often each rule picks a right chain, problem by problem, with and without a verifier.

P is the number of problems, M of chains of one, D of subsets of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rung.eval.pools import Names, Pool
from rung.eval.statistics import FloatArray
from rung.eval.subsets import (
    BoolArray,
    best_of_subset,
    draw_subsets,
    oracle_of_subset,
    vote_of_subsets,
)

VERIFIED = "verified_"
"""Begins the names of what picks among the chains that a verifier left."""


def accuracies(
    pools: Sequence[Pool],
    names: Names,
    ns: Sequence[int],
    *,
    verified: bool,
    draws: int,
    seed: int,
) -> dict[str, FloatArray]:
    """Each rule's expected correctness, one row a problem, one column an n.

    With a verifier every rule has a twin, which picks as it does among those of the n chains that
    are not refuted, and among all where all are. Both see the same subsets.
    """
    rng = np.random.default_rng(seed)
    rows = [_expected(pool, ns, verified=verified, draws=draws, rng=rng) for pool in pools]
    rules = (*names.picks, *names.votes, "random", "oracle")
    twins = [VERIFIED + rule for rule in rules] if verified else []
    return dict(zip((*rules, *twins), np.stack(rows, axis=1), strict=True))


def _expected(
    pool: Pool, ns: Sequence[int], *, verified: bool, draws: int, rng: np.random.Generator
) -> FloatArray:
    """One problem: one row a rule, one column an n."""
    subsets = draw_subsets(len(pool), ns, draws=draws, rng=rng)
    found = _among_all(pool, ns, subsets)
    return np.vstack([found, _among_standing(pool, ns, subsets)]) if verified else found


def _among_all(pool: Pool, ns: Sequence[int], subsets: Sequence[FloatArray]) -> FloatArray:
    correct_M = pool.correct_M
    picked = [best_of_subset(scores_M, correct_M, ns) for scores_M in pool.picks_CM]
    voted = [vote_of_subsets(rows, pool.keys_M, pool.votes_VM, correct_M) for rows in subsets]
    random = np.full(len(ns), correct_M.mean())
    return np.vstack([*picked, np.stack(voted, axis=1), random, oracle_of_subset(correct_M, ns)])


def _among_standing(pool: Pool, ns: Sequence[int], subsets: Sequence[FloatArray]) -> FloatArray:
    """A refuted chain stands behind all others, and votes where no other does."""
    stands_M, correct_M = ~pool.refuted_M, pool.correct_M
    ahead_M = (len(pool) + 1.0) * stands_M
    ranked = (*pool.picks_CM, np.zeros(len(pool)), correct_M)
    picked = [best_of_subset(scores_M + ahead_M, correct_M, ns) for scores_M in ranked]
    voted = [
        vote_of_subsets(_standing(rows, stands_M), pool.keys_M, pool.votes_VM, correct_M)
        for rows in subsets
    ]
    return np.vstack([*picked[:-2], np.stack(voted, axis=1), *picked[-2:]])


def _standing(members_DM: FloatArray, stands_M: BoolArray) -> FloatArray:
    left_DM = members_DM * stands_M
    return np.where(left_DM.any(axis=1, keepdims=True), left_DM, members_DM)
