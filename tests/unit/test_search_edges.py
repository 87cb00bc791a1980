"""Every search at its edges: it ends, and gives what there is, with what it took and why."""

from collections.abc import Callable
from typing import Any

import pytest

from odd_parts import Dies, Odd, endless_chain, endless_step, no_numbers, nothing
from rung.core import Chain, Sampling
from rung.search import (
    ALGORITHMS,
    Budget,
    Knobs,
    SearchLog,
    SearchResult,
    Setting,
    rule,
    run_searches,
)
from tree_policy import PROBLEM, DicePolicy, TableScorer, words

UNSCORED = ("majority", "adaptive-vote")
WHOLE = ("best-of-n", "weighted", "adaptive", "allocate", *UNSCORED)
"""They sample whole chains."""
ONE_CALL = ("best-of-n", "weighted", "majority", "allocate")
"""All they ask of the policy for one problem."""
VOTES = ("weighted", "rebase")
STEPWISE = tuple(name for name in ALGORITHMS if name not in WHOLE)
every_search = pytest.mark.parametrize("name", ALGORITHMS)


def answer(chain: Chain) -> str | None:
    return chain.answer


def search(
    name: str, policy: Any, score: Callable[[str], float] | None = None, **given: Any
) -> tuple[SearchResult, TableScorer]:
    """One search with N = 8; a step scores what `score` says of its text."""
    scorer = TableScorer(otherwise=score or (lambda text: 0.5))
    if "scores" in given:
        scorer.score = given.pop("scores")
    found = ALGORITHMS[name](Knobs(n=8, width=2, answer_key=answer, below=0.2, enough=0.9))
    log = given.pop("log", SearchLog())
    pick = rule(found.rule, scorer=None, answer_key=answer)
    how = Setting(generator=policy, scorer=scorer, pick=pick, **given)
    [result] = run_searches(found, [PROBLEM], how, log=log)
    return result, scorer


@every_search
def test_scores_of_zero_are_scores(name: str) -> None:
    result, _ = search(name, DicePolicy(steps=3), lambda text: 0.0)
    assert result.reason == "done" and result.chosen is not None
    assert result.is_finished == (name != "abort"), "abort has given up all"
    if name not in UNSCORED:
        assert result.chosen.scores[0].scores[0] == 0.0
        assert result.value == (None if name in VOTES else 0.0), "0 is no vote"


@every_search
def test_a_scorer_of_no_numbers_leaves_what_was_written_and_its_cost(name: str) -> None:
    result, _ = search(name, DicePolicy(steps=3), scores=no_numbers)
    assert result.chosen is not None and result.spent.tokens_sampled > 0
    if name in UNSCORED:
        assert result.reason == "done"
    else:
        assert result.reason == "failed" and result.error is not None and "nan" in result.error
        assert result.chosen.scores == () and result.spent.tokens_scored == 0
        assert result.is_finished == (name in WHOLE)


@every_search
def test_a_policy_that_writes_nothing_ends_the_search_without_an_answer(name: str) -> None:
    result, _ = search(name, Odd(nothing))
    assert (result.chosen, result.reason, result.spent.tokens) == (None, "done", 0)


@every_search
def test_a_policy_that_never_ends_a_step_is_cut_off(name: str) -> None:
    result, _ = search(name, Odd(endless_step), sampling=Sampling(max_tokens=7))
    assert result.reason == "done" and not result.is_finished
    assert result.chosen is not None and result.chosen.chain.texts == ("and on and",)
    assert result.spent.tokens_sampled == 7 * result.spent.calls > 0


@every_search
def test_a_policy_that_never_ends_a_chain_is_stopped_by_the_limit_of_steps(name: str) -> None:
    result, _ = search(name, Odd(endless_chain), max_steps=5)
    assert result.reason == "done" and not result.is_finished
    assert result.chosen is not None
    assert len(result.chosen.chain.steps) == (5 if name in STEPWISE else 1)


@every_search
def test_a_policy_that_dies_half_way_leaves_what_there_was(name: str) -> None:
    at_call = 0 if name in ONE_CALL else 1
    result, _ = search(name, Dies(steps=4, at_call=at_call))
    assert result.reason == "failed" and result.error == "ConnectionError: the server is gone"
    assert (result.chosen is not None) == (result.spent.tokens_sampled > 0) == (at_call > 0)


@every_search
def test_duplicates_are_scored_once_and_counted_as_sampled(name: str) -> None:
    result, scorer = search(name, DicePolicy(steps=3, sides=1))
    assert result.reason == "done" and result.is_finished
    assert result.chosen is not None and words(result.chosen.chain) == "1 1 1"
    assert len(result.chains) == 1 and result.spent.tokens_sampled > 3
    assert result.spent.tokens_scored == (0 if name in UNSCORED else 3)
    assert len({chain.prefix_id for chain in scorer.scored}) == len(scorer.scored)


@every_search
@pytest.mark.parametrize("tokens", [1, 3, 7])
def test_a_budget_smaller_than_a_step_is_kept(name: str, tokens: int) -> None:
    """A step takes 4 tokens, and as many to be scored."""

    def write(prefix: Chain, sampling: Sampling) -> list[Chain]:
        if sampling.max_tokens < 4:
            return endless_step(prefix, sampling)
        [[chain]] = DicePolicy(steps=3).sample([prefix], 1, sampling)
        return [chain]

    result, _ = search(
        name, Odd(write), budget=Budget(tokens=tokens), sampling=Sampling(max_tokens=4)
    )
    assert result.reason == "tokens" and result.spent.tokens <= tokens
    assert (result.chosen is None) == (result.spent.calls == 0)
    assert result.spent.calls > 0 or tokens == 1
