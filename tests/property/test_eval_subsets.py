"""Expectations over subsets, against the same thing done by brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.eval.subsets import (
    all_subsets,
    best_of_subset,
    draw_subsets,
    oracle_of_subset,
    vote_of_subsets,
)

CHAINS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 3), st.integers(-1, 3), st.integers(0, 4)),
    min_size=1,
    max_size=7,
)


def brute_best(scores, correct, n):
    values = []
    for chosen in combinations(range(len(scores)), n):
        top = max(scores[k] for k in chosen)
        values.append(np.mean([correct[k] for k in chosen if scores[k] == top]))
    return np.mean(values)


def brute_vote(keys, weights, correct, n):
    values = []
    for chosen in combinations(range(len(keys)), n):
        answers = {keys[k] for k in chosen if keys[k] >= 0}
        if not answers:
            values.append(np.mean([correct[k] for k in chosen]))
            continue
        total = {a: sum(weights[k] for k in chosen if keys[k] == a) for a in answers}
        best = [a for a in answers if total[a] == max(total.values())]
        share = [np.mean([correct[k] for k in chosen if keys[k] == a]) for a in best]
        values.append(np.mean(share))
    return np.mean(values)


@given(CHAINS)
def test_best_of_subset_is_the_mean_over_all_subsets(chains):
    correct = np.array([c for c, *_ in chains], dtype=float)
    scores = np.array([s for _, s, *_ in chains], dtype=float)
    ns = list(range(1, len(chains) + 1))
    expected = [brute_best(scores, correct, n) for n in ns]
    assert best_of_subset(scores, correct, ns) == pytest.approx(expected)


@given(CHAINS)
def test_oracle_is_the_share_of_subsets_with_a_right_chain(chains):
    correct = np.array([c for c, *_ in chains], dtype=float)
    ns = list(range(1, len(chains) + 1))
    expected = [
        np.mean([max(correct[list(chosen)]) for chosen in combinations(range(len(chains)), n)])
        for n in ns
    ]
    assert oracle_of_subset(correct, ns) == pytest.approx(expected)


@given(CHAINS)
def test_votes_over_all_subsets_match_brute_force_for_each_weighing(chains):
    correct = np.array([c for c, *_ in chains], dtype=float)
    keys = np.array([k for _, _, k, _ in chains])
    weights = np.array([[1.0] * len(chains), [w / 4 for *_, w in chains]])
    for n in range(1, len(chains) + 1):
        found = vote_of_subsets(all_subsets(len(chains), n), keys, weights, correct)
        expected = [brute_vote(keys, row, correct, n) for row in weights]
        assert found == pytest.approx(expected)


@given(st.integers(1, 12), st.integers(0, 5))
def test_drawn_subsets_have_their_size_and_are_all_of_them_where_few(num_chains, seed):
    ns = list(range(1, num_chains + 1))
    drawn = draw_subsets(num_chains, ns, draws=30, rng=np.random.default_rng(seed))
    for n, rows in zip(ns, drawn, strict=True):
        assert (rows.sum(axis=1) == n).all()
        assert len(rows) <= 30
        if len(rows) < 30:
            assert len(np.unique(rows, axis=0)) == len(rows)


def test_random_subsets_estimate_the_exact_vote():
    rng = np.random.default_rng(3)
    correct = np.array([1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1], dtype=float)
    keys = np.array([0, 0, 0, 1, 1, 1, 1, 2, 0, 3, -1, 0])
    weights = np.ones((1, 12))
    exact = vote_of_subsets(all_subsets(12, 5), keys, weights, correct)
    drawn = draw_subsets(12, [5], draws=700, rng=rng)[0]
    assert vote_of_subsets(drawn, keys, weights, correct) == pytest.approx(exact, abs=0.06)
