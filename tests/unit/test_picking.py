"""Best-of-N and votes: the rules, their ties and their gaps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung import AGGREGATIONS, StepScores
from rung.search import Choice, best_of_n, majority_vote, rank_of, value_of, weighted_vote

MIN, PRODUCT = AGGREGATIONS["min"], AGGREGATIONS["product"]


def scored(*scores: float | None) -> StepScores:
    return StepScores(scores, "prm")


def test_best_of_n_takes_the_highest_value():
    assert best_of_n([scored(0.9, 0.1), scored(0.5, 0.4)], MIN) == Choice(1, 0.4)
    assert best_of_n([scored(0.9, 0.1), scored(0.5, 0.4)], AGGREGATIONS["max"]) == Choice(0, 0.9)


def test_of_equal_chains_the_first_is_taken():
    assert best_of_n([scored(0.2), scored(0.5), scored(0.5)], MIN).index == 1


def test_chains_that_were_not_read_to_the_end_stand_behind():
    cut, whole = scored(0.9, 0.9, None), scored(0.1, 0.1)
    assert best_of_n([cut, whole], PRODUCT).index == 1
    assert best_of_n([scored(0.3, None), cut], PRODUCT).index == 1
    assert rank_of(scored(None, 0.1), MIN) > rank_of(cut, MIN)


def test_an_orm_ranks_by_its_one_score_under_every_rule():
    chains = [scored(None, None, 0.4), scored(None, 0.6), scored(0.5)]
    assert {best_of_n(chains, rule).index for rule in AGGREGATIONS.values()} == {1}


def test_chains_without_scores_are_last_and_counted():
    assert best_of_n([None, scored(None), scored(0.0)], MIN) == Choice(2, 0.0, 2)
    assert best_of_n([scored(None), None], MIN) == Choice(0, None, 2)
    assert value_of(scored(None), MIN) is None


def test_long_chains_do_not_tie_by_underflow():
    worse, better = scored(*[0.1] * 400), scored(*[0.2] * 400)
    assert best_of_n([worse, better], PRODUCT) == Choice(1, PRODUCT(better.known))


def test_the_most_frequent_answer_wins():
    assert majority_vote(["a", "b", "b"]) == Choice(1, pytest.approx(2 / 3))


def test_of_equally_frequent_answers_the_one_given_first_wins():
    assert majority_vote(["b", "a", "a", "b"]) == Choice(0, 0.5)


def test_chains_without_an_answer_do_not_vote():
    assert majority_vote([None, None, "a"]) == Choice(2, 1.0, 2)
    assert majority_vote([None, None]) == Choice(0, None, 2)


def test_a_weighted_vote_takes_the_heaviest_chain_of_the_heaviest_answer():
    vote = weighted_vote(["a", "b", "b", "b"], [0.5, 0.1, 0.3, 0.2])
    assert vote == Choice(2, pytest.approx(0.6 / 1.1))
    assert weighted_vote(["a", "b"], [0.5, None]) == Choice(0, 1.0, 1)


def test_a_vote_without_weight_is_undecided():
    assert weighted_vote([None, "a", "b"], [0.9, 0.0, 0.0]) == Choice(1, None, 1)


def test_nothing_to_pick_from_is_an_error():
    with pytest.raises(ValueError, match="no chains"):
        best_of_n([], MIN)
    with pytest.raises(ValueError, match="no chains"):
        majority_vote([])
    with pytest.raises(ValueError, match="weight 0 is -1"):
        weighted_vote(["a"], [-1.0])


answers = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=12)


@given(answers)
def test_no_answer_has_more_votes_than_the_winner(answers_N: list[str | None]):
    choice = majority_vote(answers_N)
    counts = [answers_N.count(a) for a in answers_N if a is not None]
    if counts:
        assert answers_N.count(answers_N[choice.index]) == max(counts)
        assert answers_N.index(answers_N[choice.index]) == choice.index


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=5), min_size=1, max_size=8))
def test_the_choice_is_the_same_in_any_order(scores: list[list[float]]):
    chains = [scored(*s) for s in scores]
    chosen = chains[best_of_n(chains, MIN).index]
    reversed_chains = chains[::-1]
    assert MIN(reversed_chains[best_of_n(reversed_chains, MIN).index].known) == MIN(chosen.known)
