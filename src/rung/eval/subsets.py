"""What a picking rule is worth on n of a problem's M chains, in expectation over all subsets.

A best-of-n curve from M sampled chains should not depend on the order in which they were sampled,
so each rule is averaged over all C(M, n) subsets: in closed form where a rule looks at one score
a chain, over all or many random subsets where it counts votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from rung.eval.statistics import FloatArray, IntArray

BoolArray = NDArray[np.bool_]


def best_of_subset(scores_M: FloatArray, correct_M: FloatArray, ns: Sequence[int]) -> FloatArray:
    """Expected correctness of the highest-scored of n chains, for each n.

    The chain of rank k (0 is best) of M is the best of C(M - 1 - k, n - 1) of the C(M, n)
    subsets. Among equal scores each chain is as likely to be picked.
    """
    _, group_M = np.unique(-scores_M, return_inverse=True)
    by_group = np.bincount(group_M, weights=correct_M) / np.bincount(group_M)
    shared_M = by_group[np.sort(group_M)]
    return rank_weights(len(scores_M), tuple(ns)) @ shared_M


@cache
def rank_weights(num_chains: int, ns: tuple[int, ...]) -> FloatArray:
    """P(the chain of rank k is the best of a random subset of n): one row an n, one column a k."""
    rows = [
        [comb(num_chains - 1 - k, n - 1) / comb(num_chains, n) for k in range(num_chains)]
        for n in ns
    ]
    return np.array(rows)


def oracle_of_subset(correct_M: FloatArray, ns: Sequence[int]) -> FloatArray:
    """Pass@n: P(at least one of n chains is correct), for each n.

    The unbiased estimator 1 - C(M - c, n) / C(M, n) of Chen et al. (arXiv 2107.03374), section 2.1.
    """
    num_chains, num_wrong = len(correct_M), int((correct_M < 0.5).sum())
    return np.array([1.0 - comb(num_wrong, n) / comb(num_chains, n) for n in ns])


def draw_subsets(
    num_chains: int, ns: Sequence[int], *, draws: int, rng: np.random.Generator
) -> list[FloatArray]:
    """Subsets of each size n, as rows of 0 and 1 over the M chains.

    All of them where there are no more than `draws`; else `draws` random ones, nested from n to n
    so that neighboring points of a curve share their luck.
    """
    ranks_DM = rng.random((draws, num_chains)).argsort(axis=1)
    return [
        all_subsets(num_chains, n)
        if comb(num_chains, n) <= draws
        else (ranks_DM < n).astype(np.float64)
        for n in ns
    ]


def all_subsets(num_chains: int, n: int) -> FloatArray:
    """Every subset of n chains, one a row."""
    chosen = np.array(list(combinations(range(num_chains), n)))
    rows = np.zeros((len(chosen), num_chains))
    np.put_along_axis(rows, chosen, 1.0, axis=1)
    return rows


def vote_of_subsets(
    members_DM: FloatArray, keys_M: IntArray, weights_VM: FloatArray, correct_M: FloatArray
) -> FloatArray:
    """Mean correctness of the answer with the most weight, for V ways to weigh a vote: `(V,)`.

    A chain whose key is -1 has no answer and no vote; where nobody votes, any chain is picked.
    Answers with equal weight are as likely to win. Where chains with one answer got different
    verdicts, the winner is as right as its voters are on average.
    """
    any_chain_D = members_DM @ correct_M / members_DM.sum(axis=1)
    num_answers = int(keys_M.max(initial=-1)) + 1
    if num_answers == 0:
        return np.full(len(weights_VM), any_chain_D.mean())
    one_hot_MG = (keys_M[:, None] == np.arange(num_answers)).astype(np.float64)
    voters_DG = members_DM @ one_hot_MG
    right_DG = members_DM @ (one_hot_MG * correct_M[:, None])
    share_right_DG = np.divide(
        right_DG, voters_DG, out=np.zeros_like(right_DG), where=voters_DG > 0
    )
    weighed_MVG = weights_VM.T[:, :, None] * one_hot_MG[:, None, :]
    shape = (len(members_DM), len(weights_VM), num_answers)
    totals_DVG = (members_DM @ weighed_MVG.reshape(len(keys_M), -1)).reshape(shape)
    totals_DVG = np.where(voters_DG[:, None, :] > 0, totals_DVG, -np.inf)
    best_DV1 = totals_DVG.max(axis=2, keepdims=True)
    won_DVG = _close(totals_DVG, best_DV1)
    picked_DV = (won_DVG * share_right_DG[:, None, :]).sum(axis=2) / won_DVG.sum(axis=2)
    nobody_D1 = voters_DG.sum(axis=1, keepdims=True) == 0
    return np.where(nobody_D1, any_chain_D[:, None], picked_DV).mean(axis=0)


def _close(totals: FloatArray, best: FloatArray) -> BoolArray:
    """Equal up to the rounding of sums, whose order a matrix product does not fix."""
    with np.errstate(invalid="ignore"):  # -inf minus -inf: a subset in which nobody votes
        behind = best - totals
    return (behind <= 1e-9 * np.maximum(np.abs(best), 1e-300)) | (totals == best)
