"""Which chains to label next."""

import pytest

from coin_policy import chain_of, good
from rung.cli.first_in_line import first_in_line
from rung.core import Chain, ChainRecord, RungError, StepScores, Verdict
from rung.label import next_to_label
from rung.label.next import First


def record(chain: Chain, outcome: Verdict | None, *scores: float) -> ChainRecord:
    """The same score for every step, one a scorer."""
    given = [StepScores((y,) * len(chain.steps), f"prm{k}") for k, y in enumerate(scores)]
    return ChainRecord(chain, scores=tuple(given), outcome=outcome)


def scored(name: str, *scores: float | None) -> ChainRecord:
    """A chain of a problem of its own."""
    chain = chain_of(*(f"{name}{k}" for k in range(len(scores))), problem=name)
    return ChainRecord(chain, scores=(StepScores(scores, "prm"),))


def test_doubted_chains_come_first_and_unscored_ones_last():
    records = [
        scored("a", 0.99, 0.98),
        scored("b", 0.9, 0.35, 0.1),
        scored("c", 0.97, 0.55),
        record(chain_of("d", problem="d"), None),
    ]
    choices = next_to_label(records)
    assert [choice.index for choice in choices] == [2, 1, 0, 3]
    assert choices[0].reasons == ("a step scored 0.55", "a new problem")
    assert choices[1].value == pytest.approx(0.7)
    assert choices[-1].reasons == ("not scored", "a new problem")


def test_doubt_ends_behind_the_first_step_that_is_called_wrong():
    sure, lost = scored("a", 0.95, 0.02, 0.5), scored("b", 0.95, None, 0.9)
    assert [choice.index for choice in next_to_label([sure, lost])] == [1, 0]


def test_convincing_wrong_answers_come_first_and_unscored_chains_last():
    records = [
        record(chain_of("a", problem="a"), Verdict.CORRECT, 0.99),
        record(chain_of("b", problem="b"), Verdict.INCORRECT, 0.2),
        record(chain_of("c", problem="c"), Verdict.INCORRECT, 0.9),
        record(chain_of("d", problem="d"), None),
    ]
    choices = next_to_label(records, first="convincing")
    assert [choice.index for choice in choices] == [2, 1, 0, 3]
    assert choices[0].reasons == ("wrong answer, scored 0.90", "a new problem")
    assert choices[-1].reasons == ("not scored", "a new problem")


def test_each_fifth_is_convincing_whatever_its_answer():
    right = [record(chain_of(f"r{k}", problem=f"r{k}"), Verdict.CORRECT, 0.99) for k in range(2)]
    wrong = [record(chain_of(f"w{k}", problem=f"w{k}"), Verdict.INCORRECT, 0.5) for k in range(9)]
    choices = next_to_label([*right, *wrong], 10, first="convincing")
    assert [choice.index for choice in choices] == [2, 3, 4, 5, 0, 6, 7, 8, 9, 1]
    assert choices[4].reasons == ("scored 0.99", "a new problem")


def test_chains_on_which_scorers_disagree_come_before_those_on_which_they_agree():
    records = [
        record(chain_of("a", problem="a"), None, 0.7, 0.7),
        record(chain_of("b", problem="b"), None, 0.1, 0.9),
    ]
    choices = next_to_label(records)
    assert [choice.index for choice in choices] == [1, 0]
    assert "2 scorers differ by 0.40" in choices[0].reasons
    assert next_to_label(records, scorers=["prm0"])[0].index == 0


def test_a_chain_like_one_that_was_chosen_waits():
    records = [
        record(chain_of(*good(4), "x"), Verdict.INCORRECT, 0.51),
        record(chain_of(*good(4), "y"), Verdict.INCORRECT, 0.52),
        record(chain_of("other", problem="q"), Verdict.INCORRECT, 0.9),
    ]
    orders: dict[First, list[int]] = {"doubt": [0, 2, 1], "convincing": [2, 1, 0]}
    for first, chosen in orders.items():
        choices = next_to_label(records, first=first)
        assert [choice.index for choice in choices] == chosen
        assert choices[2].reasons[-1] == "shares 4 of 5 steps"
        assert next_to_label(records, 2, first=first) == choices[:2]
    assert sorted(c.index for c in next_to_label(records, 9)) == [0, 1, 2]


def test_a_scorer_or_rule_that_is_not_there_is_named():
    records = [record(chain_of("a"), None, 0.5)]
    with pytest.raises(RungError, match="'orm'"):
        next_to_label(records, scorers=["orm"])
    with pytest.raises(RungError, match="'best'"):
        next_to_label(records, rule="best")


def test_a_choice_for_which_nothing_is_known_is_refused():
    with pytest.raises(RungError, match="no chain has scores"):
        first_in_line([record(chain_of("a"), Verdict.INCORRECT)], 1, "doubt")
    with pytest.raises(RungError, match="no chain has an outcome"):
        first_in_line([record(chain_of("a"), None, 0.5)], 1, "convincing")
    assert first_in_line([record(chain_of("a"), None, 0.5)], 1, "doubt") == {0}
