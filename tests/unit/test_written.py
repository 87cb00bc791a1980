"""Completions of other engines: their steps are found on their tokens."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.core import Chain, Problem, RungError, Sampling, StepScores
from rung.generate.prompting import Written, continued
from rung.rl import Guards, Paying
from rung.rl.pay import scores_of
from rung.rl.written import Completion, StepPay, earned
from tiny_lms import byte_tokenizer

PROBLEM = Problem("p", "What is 3 + 4?")
TOKENIZER = byte_tokenizer()
OPEN = Guards(blank_steps_pay=True)


class Counting:
    """The k-th step has score k / 10."""

    name = "counting"

    def __init__(self, lost: int = 99) -> None:
        self.lost, self.asked = lost, list[Chain]()

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        self.asked += chains
        return [
            StepScores(
                tuple(k / 10 if k <= self.lost else None for k in range(1, len(chain.steps) + 1)),
                self.name,
            )
            for chain in chains
        ]


def pay(scorer: Any = None, separator: str = "\n", **options: Any) -> StepPay:
    paying = Paying(form="sum", **options)
    return StepPay(
        scorer=scorer or Counting(), paying=paying, guards=OPEN, step_separator=separator
    )


def ids_of(text: str) -> list[int]:
    return list(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def completion(text: str, has_ended: bool = True) -> Completion:
    end = [TOKENIZER.eos_token_id] if has_ended else []
    return Completion(PROBLEM, [*ids_of(text), *end], has_ended)


@settings(max_examples=60, deadline=None)
@given(st.text("ab 7=\nй✓.", max_size=30), st.sampled_from(["\n", "\n\n", "="]))
def test_steps_are_those_of_the_text_and_their_tokens_hold_them(text: str, separator: str):
    one = completion(text)
    found = earned([one], pay(separator=separator), TOKENIZER)
    chain, places = found.chains[0], found.places[0]
    written = continued(
        Chain(PROBLEM, ()), Written(text, "stop", None), Sampling(), policy="", separator=separator
    )
    assert chain.texts == written.texts
    assert len(places) == len(one.ids) and places == sorted(places)
    for step, piece in enumerate(chain.texts):
        own = [token for token, place in zip(one.ids, places, strict=True) if place == step]
        said = TOKENIZER.decode(own, skip_special_tokens=True)
        before = [token for token, place in zip(one.ids, places, strict=True) if place <= step]
        assert piece.strip() in TOKENIZER.decode(before) and (said or not own)


def test_rewards_stand_at_the_last_token_of_each_step():
    one = completion("one two\n\nthree\nfour")
    found = earned([one, completion("a")], pay(), TOKENIZER)
    assert found.chains[0].texts == ("one two", "three", "four")
    rewards_BT = found.at_step_ends(len(one.ids))
    places = found.places[0]
    ends = [len(places) - 1 - places[::-1].index(step) for step in (0, 1, 2)]
    assert rewards_BT[0, ends].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert float(rewards_BT[0].sum()) == pytest.approx(0.6)
    assert ends[-1] == len(one.ids) - 1 and one.ids[-1] == TOKENIZER.eos_token_id
    step_of_BT = found.step_of(len(one.ids))
    assert step_of_BT[0].tolist() == places
    assert step_of_BT[1].tolist() == [0, 0, *[-1] * (len(one.ids) - 2)]


def test_a_completion_without_steps_asks_no_scorer_and_earns_nothing():
    scorer = Counting()
    found = earned([completion("\n \n"), Completion(PROBLEM, [], False)], pay(scorer), TOKENIZER)
    assert not scorer.asked and float(found.paid.process_BS.abs().sum()) == 0.0
    assert found.step_of(8)[1].tolist() == [-1] * 8
    assert float(found.at_step_ends(8).abs().sum()) == 0.0


def test_what_was_cut_off_earns_nothing_and_lost_steps_are_counted():
    guarded = StepPay(scorer=Counting(), paying=Paying(form="sum"))
    whole, cut = completion("one\ntwo"), completion("one\ntwo", has_ended=False)
    found = earned([whole, cut], guarded, TOKENIZER)
    assert found.paid.rewards_BS.sum(1).tolist() == pytest.approx([0.3, 0.0])
    assert earned([whole], pay(Counting(lost=1)), TOKENIZER).num_unscored == 1


def test_only_the_process_is_paid_here_and_unweighted():
    found = earned([completion("one\ntwo")], pay(process_weight=9.0, outcome_weight=7.0), TOKENIZER)
    assert torch.equal(found.paid.rewards_BS, found.paid.process_BS)
    assert found.paid.rewards_BS[0].tolist() == pytest.approx([0.1, 0.2])


class Broken(Counting):
    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        return [StepScores((float("nan"),) * len(chain.steps), "broken") for chain in chains]


def test_a_score_that_is_no_number_is_refused_with_the_scorers_name():
    with pytest.raises(RungError, match="scorer 'counting': score 0 is nan"):
        scores_of(Broken(), [Chain.of(PROBLEM, ["one"])])
    with pytest.raises(RungError, match="gae needs a value head"):
        pay(baseline="gae")
