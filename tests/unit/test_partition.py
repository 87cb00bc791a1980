"""Problems apart: no problem on both sides, decided by its text and the seed alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung import Chain, ChainRecord, Problem, RungError
from rung.data import problem_key, problem_keys, split_by_problem, without_problems


def record(question, k=0):
    return ChainRecord(Chain.of(Problem(f"{question}-{k}", question), [f"step {k}"]))


def records(num_problems, chains_each=2):
    return [record(f"What is {p}?", k) for p in range(num_problems) for k in range(chains_each)]


@given(num_problems=st.integers(2, 40), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**32))
def test_no_problem_is_on_both_sides_and_no_chain_is_lost(num_problems, fraction, seed):
    all_records = records(num_problems)
    train, held_out = split_by_problem(all_records, fraction, seed)
    assert not problem_keys(train) & problem_keys(held_out)
    assert len(train) + len(held_out) == len(all_records)
    wanted = min(max(round(fraction * num_problems), 1), num_problems - 1)
    assert len(problem_keys(held_out)) == wanted


def test_the_split_depends_on_the_seed_and_not_on_the_order():
    all_records = records(40)
    shuffled = random.Random(1).sample(all_records, len(all_records))
    first = problem_keys(split_by_problem(all_records, 0.25, 7).held_out)
    assert problem_keys(split_by_problem(shuffled, 0.25, 7).held_out) == first
    assert problem_keys(split_by_problem(all_records, 0.25, 8).held_out) != first


def test_each_side_keeps_the_order_of_the_source():
    all_records = records(20)
    for side in split_by_problem(all_records, 0.5, 0):
        assert [all_records.index(r) for r in side] == sorted(all_records.index(r) for r in side)


def test_copies_of_a_problem_stay_together_whatever_their_id_and_typesetting():
    copies = [
        "It costs $\\$1.24$. How much?",
        "it costs  $1.24.\nHow much?",
        "It costs 1.24. how much?",
    ]
    assert len(set(map(problem_key, copies))) == 1
    assert problem_key("What is 1 + 2?") != problem_key("What is 1 - 2?")
    for seed in range(20):
        train, held_out = split_by_problem([*map(record, copies), record("Other?")], 0.5, seed)
        assert sorted(map(len, (train, held_out))) == [1, 3]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_fraction_that_holds_out_nothing_or_all_is_refused(fraction):
    with pytest.raises(RungError, match=r"expected one in \(0, 1\)"):
        split_by_problem(records(5), fraction, 0)


def test_one_problem_cannot_be_split():
    with pytest.raises(RungError, match="two problems or more, here are 1"):
        split_by_problem(records(1), 0.5, 0)


def test_problems_of_a_test_set_are_kept_out():
    keys = problem_keys([Problem("x", "what is 3?"), Problem("y", "What is 99?")])
    kept = list(without_problems(records(5), keys))
    assert len(kept) == 8
    assert "What is 3?" not in {r.chain.problem.question for r in kept}
