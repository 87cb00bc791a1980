"""Which chains to label next."""

import pytest

from coin_policy import chain_of, good
from rung.core import Chain, ChainRecord, RungError, StepScores, Verdict
from rung.label import next_to_label


def record(chain: Chain, outcome: Verdict | None, *scores: float) -> ChainRecord:
    given = [StepScores((y,) * len(chain.steps), f"prm{k}") for k, y in enumerate(scores)]
    return ChainRecord(chain, scores=tuple(given), outcome=outcome)


def test_convincing_wrong_answers_come_first_and_unscored_chains_last():
    records = [
        record(chain_of("a", problem="a"), Verdict.CORRECT, 0.99),
        record(chain_of("b", problem="b"), Verdict.INCORRECT, 0.2),
        record(chain_of("c", problem="c"), Verdict.INCORRECT, 0.9),
        record(chain_of("d", problem="d"), None),
    ]
    choices = next_to_label(records)
    assert [choice.index for choice in choices] == [2, 1, 0, 3]
    assert choices[0].reasons == ("wrong answer, scored 0.90", "a new problem")
    assert choices[-1].reasons == ("not scored", "a new problem")


def test_chains_on_which_scorers_disagree_come_before_those_on_which_they_agree():
    records = [
        record(chain_of("a", problem="a"), None, 0.5, 0.5),
        record(chain_of("b", problem="b"), None, 0.1, 0.9),
    ]
    choices = next_to_label(records)
    assert [choice.index for choice in choices] == [1, 0]
    assert "2 scorers differ by 0.40" in choices[0].reasons
    assert next_to_label(records, scorers=["prm0"])[0].index == 0


def test_a_chain_like_one_that_was_chosen_waits():
    records = [
        record(chain_of(*good(4), "x"), Verdict.INCORRECT, 0.9),
        record(chain_of(*good(4), "y"), Verdict.INCORRECT, 0.88),
        record(chain_of("other", problem="q"), Verdict.INCORRECT, 0.3),
    ]
    choices = next_to_label(records)
    assert [choice.index for choice in choices] == [0, 2, 1]
    assert choices[2].reasons[-1] == "shares 4 of 5 steps"
    assert next_to_label(records, 2) == choices[:2]


def test_a_scorer_or_rule_that_is_not_there_is_named():
    records = [record(chain_of("a"), None, 0.5)]
    with pytest.raises(RungError, match="'orm'"):
        next_to_label(records, scorers=["orm"])
    with pytest.raises(RungError, match="'best'"):
        next_to_label(records, rule="best")
