"""What keeps a policy from winning rewards without being right."""

import pytest
import torch

from rung.core import Chain, Problem, Provenance, RungError, StepScores
from rung.rl import Guards, Paying
from rung.rl.guards import earning_steps, has_parted
from rung.rl.pay import advantages, judged, pay, scores_of
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


FORMS = ["sum", "difference", "progress", "min", "implicit"]


@pytest.mark.parametrize("form", FORMS)
def test_a_step_without_a_score_neither_earns_nor_loses(form):
    """As if it were not there: None is no 0, which would be the least there is."""
    first, missing, last = paid(["a", "b", "c"], [0.5, None, 0.75], form)
    assert missing == 0.0
    assert [first, last] == pytest.approx(paid(["a", "c"], [0.5, 0.75], form))
    assert paid(["a", "b"], [None, None], form) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("form", "earned"),
    [
        ("sum", [0.75, 0.0]),
        ("min", [0.75, 0.0]),
        ("progress", [0.75, 0.0]),  # what has risen stays
        ("difference", [0.75, -0.75]),  # and is taken back at the end
        ("implicit", [1.0986, 0.0]),
    ],
)
def test_behind_the_context_of_its_scorer_a_chain_wins_and_loses_nothing(form, earned):
    assert paid(["a", "b"], [0.75, None], form) == pytest.approx(earned, abs=1e-4)
    before, behind = paid(["a", "b"], [None, 0.75], form)
    expected = 0.0 if form == "difference" else earned[0]
    assert before == 0.0 and behind == pytest.approx(expected, abs=1e-4)


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


def test_progress_is_paid_as_the_last_score_and_does_not_rise_where_accuracy_falls():
    """Less the share of right chains, it would, and look like an exploit."""
    chains = [chain("a", "b"), chain("c")]
    scores = [StepScores((0.25, 0.75), "prm"), StepScores((0.25,), "prm")]
    for outcomes in ([True, True], [False, False]):
        found = judged(chains, outcomes, scores, [0, 0], Guards())
        paying = Paying(form="progress", outcome_weight=0.0)
        assert pay(found, paying).process_BS.tolist() == [[0.25, 0.5], [0.25, 0.0]]


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
    scorer = StrictestScorer((Fixed("a", 0.9, 0.2, None, None), Fixed("b", 0.3, 0.8, 0.5, None)))
    (found,) = scorer.score([chain("a", "b", "c", "d")])
    assert found == StepScores((0.3, 0.2, 0.5, None), "least of a, b")


def test_what_a_labeler_does_not_judge_behind_the_first_error_is_left_to_nobody_else():
    labels = Fixed("labels", 1.0, 0.0, None, None)
    scorer = StrictestScorer((Fixed("fooled", 0.9, 0.9, 0.9, 0.9), labels))
    (found,) = scorer.score([chain("a", "b", "c", "d")])
    assert found.scores == (0.9, 0.0, 0.0, 0.0)
    scorer = StrictestScorer((Fixed("fooled", 0.9, 0.9, 0.9), Fixed("equations", 0.0, None, 1.0)))
    (found,) = scorer.score([chain("a", "b", "c")])
    assert found.scores == (0.0, 0.0, 0.9), "until it says something else"


@pytest.mark.parametrize("form", FORMS)
def test_an_orm_beside_a_prm_leaves_the_prms_word_on_the_steps_before_the_last(form):
    scorer = StrictestScorer((Fixed("prm", 0.9, 0.8, 0.7), Fixed("orm", None, None, 0.4)))
    (found,) = scores_of(scorer, [chain("a", "b", "c")])
    expected = paid(["a", "b", "c"], [0.9, 0.8, 0.4], form)
    assert paid(["a", "b", "c"], found.scores, form) == expected


@pytest.mark.parametrize(
    ("scores", "said"), [((0.5,), "1 chains with 1 scores"), ((0.5,) * 3, "1 chains with 3 scores")]
)
def test_a_scorer_that_gives_too_few_or_too_many_scores_is_named(scores, said):
    with pytest.raises(RungError, match=f"scorer 'prm' gave {said} for 1 chains with 2 steps"):
        scores_of(Fixed("prm", *scores), [chain("a", "b"), chain()])


@pytest.mark.parametrize("guards", [{"most_steps": 0}, {"most_score": 1.5}, {"most_kl": 0.0}])
def test_guards_out_of_range_are_refused(guards):
    with pytest.raises(RungError):
        Guards(**guards)
