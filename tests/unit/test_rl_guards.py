"""What keeps a policy from winning rewards without being right."""

import pytest
import torch

from rung.core import Chain, Problem, Provenance, RungError, StepScores
from rung.rl import Guards, Paying
from rung.rl.guards import earning_steps, has_parted
from rung.rl.pay import advantages, judged, pay
from rung.score import StrictestScorer

PROBLEM = Problem("p", "How many?")


def chain(*texts, finish_reason="stop"):
    return Chain.of(PROBLEM, texts, source=Provenance(finish_reason=finish_reason))


@pytest.mark.parametrize(
    ("texts", "earning"),
    [
        (["We add 1.", "So 2."], [True, True]),
        (["We add 1.", "  ", "...", "So 2."], [True, False, False, True]),
        (["We add 1.", "we  ADD 1!", "So 2."], [True, False, True]),
        (["So therefore " * 10, "So 2."], [False, True]),
        (["1 + 1 = 2 and 2 + 1 = 3 and 3 + 2 = 5 so 5 it is"], [True]),
    ],
)
def test_empty_repeated_and_padded_steps_earn_nothing(texts, earning):
    assert earning_steps(chain(*texts), Guards()) == earning
    assert all(earning_steps(chain(*texts), Guards(blank_steps_pay=True)))


def test_a_chain_that_was_cut_off_earns_nothing():
    assert earning_steps(chain("a", "b", finish_reason="length"), Guards()) == [False, False]


def test_steps_behind_the_last_that_pays_earn_nothing():
    guards = Guards(most_steps=2)
    assert earning_steps(chain("a", "b", "c"), guards) == [True, True, False]


def paid(texts, scores, form="sum", outcome=False, **guards):
    found = judged(
        [chain(*texts)], [outcome], [StepScores(tuple(scores), "prm")], [0], Guards(**guards)
    )
    return pay(found, Paying(form=form)).rewards_BS[0].tolist()


def test_what_earns_nothing_is_not_paid_for():
    assert paid(["a", "a", "b"], [0.5, 0.5, 0.25]) == [0.5, 0.0, 0.25]
    assert paid(["a", "b"], [0.5, 0.5], outcome=True) == [0.5, 1.5]


@pytest.mark.parametrize("form", ["difference", "progress", "implicit"])
def test_what_is_lost_in_a_step_that_earns_nothing_is_lost(form):
    """Else "..." pulls the score down for nothing, and each rise from there is paid again."""
    texts, scores = ["a", "...", "b", " ", "c"], [0.9, 0.1, 0.9, 0.1, 0.9]
    farmed, free = (sum(paid(texts, scores, form, blank_steps_pay=pays)) for pays in (False, True))
    assert farmed == pytest.approx(free, abs=1e-5)


@pytest.mark.parametrize("form", ["difference", "progress", "implicit"])
def test_no_guard_makes_a_chain_earn_more(form):
    texts, scores = ["a", "...", "a", "b", "c"], [0.5, 0.9, 0.2, 0.7, 0.3]
    free = sum(paid(texts, scores, form, blank_steps_pay=True))
    for guards in ({}, {"most_steps": 1}, {"most_steps": 4}):
        assert sum(paid(texts, scores, form, **guards)) <= free + 1e-5
    repeated = sum(paid(["a", "b", "a"], [0.5, 0.8, 0.8], "difference"))
    assert repeated == pytest.approx(0.0, abs=1e-6)  # what shaping takes back at the end


def test_there_is_nothing_to_win_above_the_highest_score():
    assert paid(["a", "b"], [0.5, 1.0], most_score=0.75) == [0.5, 0.75]


def test_a_step_without_a_score_counts_as_0():
    assert paid(["a", "b"], [0.5, None]) == [0.5, 0.0]


def test_log_odds_of_certain_scores_are_finite():
    first, second = paid(["a", "b"], [1.0, 0.0], form="implicit")
    assert first == pytest.approx(13.8, abs=0.1) and second == pytest.approx(-27.6, abs=0.1)


def test_a_chain_without_steps_is_one_blank_step():
    chains = [chain(), chain("a")]
    scores = [None, StepScores((0.5,), "prm")]
    found = judged(chains, [False, False], scores, [0, 0], Guards())
    assert found.num_steps_B.tolist() == [1, 1]
    paying = Paying()
    told_BS = advantages(pay(found, paying), found, paying)
    assert told_BS.tolist() == [[-0.5], [0.5]]  # to write nothing is worth less


def test_progress_starts_from_the_chance_of_the_question():
    chains = [chain("a"), chain("b")]
    scores = [StepScores((0.75,), "prm"), StepScores((0.25,), "prm")]
    found = judged(chains, [True, False], scores, [0, 0], Guards())
    paying = Paying(form="progress", outcome_weight=0.0)
    assert pay(found, paying).rewards_BS.tolist() == [[0.25], [-0.25]]


def test_groups_that_earn_the_same_have_no_advantage():
    chains = [chain("a"), chain("b")]
    scores = [StepScores((0.75,), "prm")] * 2
    found = judged(chains, [True, True], scores, [0, 0], Guards())
    for baseline in ("leave-one-out", "group", "group-scaled", "process-group"):
        paying = Paying(baseline=baseline)
        assert torch.equal(advantages(pay(found, paying), found, paying), torch.zeros(2, 1))


FEW, MANY = [1.0, 1.0, 0.0, 0.0] * 2, [1.0, 1.0, 0.0, 0.0] * 50


@pytest.mark.parametrize(
    ("best", "now", "reward", "sounds"),
    [
        (MANY, [0.0] * 200, 2.0, True),
        (MANY, [0.0] * 200, 0.5, False),  # what is paid falls, too
        (MANY, MANY, 2.0, False),
        (FEW, [1.0, 0.0, 0.0, 0.0, *FEW[:4]], 2.0, False),  # one problem is chance
        ([1.0], [0.0], 2.0, False),
    ],
)
def test_the_alarm_sounds_where_reward_and_truth_part(best, now, reward, sounds):
    assert (has_parted(best, now, 1.0, reward) is not None) == sounds


class Fixed:
    def __init__(self, name, *scores):
        self.name, self.scores = name, scores

    def score(self, chains):
        return [StepScores(self.scores, self.name) for _ in chains]


def test_an_ensemble_says_what_its_strictest_member_says():
    scorer = StrictestScorer((Fixed("a", 0.9, 0.2, None), Fixed("b", 0.3, 0.8, 0.5)))
    (found,) = scorer.score([chain("a", "b", "c")])
    assert found == StepScores((0.3, 0.2, None), "least of a, b")


@pytest.mark.parametrize("guards", [{"most_steps": 0}, {"most_score": 1.5}, {"most_kl": 0.0}])
def test_guards_out_of_range_are_refused(guards):
    with pytest.raises(RungError):
        Guards(**guards)
