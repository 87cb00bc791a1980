"""Each search on a tree written by hand: what it asks for, in which order, and what it picks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rung.core import Chain, Problem, RungError, Sampling, StepScores
from rung.search import (
    ALGORITHMS,
    AdaptiveBestOfN,
    AdaptiveVote,
    Allocate,
    Beam,
    BestOfN,
    Budget,
    Dvts,
    EarlyAbort,
    Knobs,
    Lookahead,
    Mcts,
    ParticleFilter,
    Rebase,
    Search,
    SearchLog,
    SearchResult,
    Setting,
    rule,
    run_searches,
)
from rung.search.growth import apportion
from rung.search.scoring import openings, whole_words
from tree_policy import PROBLEM, DicePolicy, Reader, TableScorer, TreePolicy, WordPolicy, words

# Two roads. "left" looks better at once, but only "right" leads to a good end.
ROADS = {
    "": ["left", "right"],
    "left": ["no", "maybe"],
    "right": ["yes", "no"],
}
SCORES = {"left": 0.8, "right": 0.7, "no": 0.1, "maybe": 0.3, "yes": 0.9}


def answer(chain: Chain) -> str | None:
    return chain.answer


def run(search: Search, tree: Any = ROADS, scores: Any = SCORES) -> tuple[SearchResult, Any, Any]:
    policy, scorer = TreePolicy(tree), TableScorer(scores)
    pick = rule(search.rule, scorer=None, answer_key=answer)
    setting = Setting(generator=policy, scorer=scorer, pick=pick)
    [result] = run_searches(search, [PROBLEM], setting)
    return result, policy, scorer


def chosen(result: SearchResult) -> str:
    assert result.chosen is not None
    return words(result.chosen.chain)


def test_best_of_n_samples_whole_chains_once() -> None:
    result, policy, scorer = run(BestOfN(n=4))
    assert policy.asked == [("", 4)]
    assert chosen(result) == "right yes" and result.value == 0.7
    assert sorted(map(words, scorer.scored)) == ["left maybe", "left no", "right no", "right yes"]
    assert (result.reason, result.spent.calls, result.spent.tokens_sampled) == ("done", 4, 8)


def test_majority_needs_no_scores_and_equal_chains_are_votes() -> None:
    tree = {"": ["a", "b", "a"]}
    result, _, scorer = run(BestOfN(n=3, rule="majority"), tree)
    assert chosen(result) == "a" and not scorer.scored
    assert [words(r.chain) for r in result.chains] == ["a", "b"]


def test_the_weighted_vote_weighs_scores() -> None:
    tree = {"": ["a", "b", "a"]}
    result, *_ = run(BestOfN(n=3, rule="weighted"), tree, {"a": 0.2, "b": 0.9})
    assert chosen(result) == "b"


def test_beam_keeps_the_best_and_falls_for_the_road_that_looks_better() -> None:
    result, policy, _ = run(Beam(n=2, width=2))
    assert policy.asked == [("", 2), ("left", 2)]
    assert chosen(result) == "left maybe"
    result, policy, _ = run(Beam(n=4, width=2))
    assert policy.asked == [("", 4), ("left", 2), ("right", 2)]
    assert chosen(result) == "right yes"


def test_a_chain_that_ended_keeps_its_place_in_the_beam() -> None:
    tree = {"": ["end", "go"], "go": ["on"], "go on": ["x"], "go on x": ["y"]}
    scores = {"end": 0.6, "go": 0.9, "on": 0.8, "x": 0.5, "y": 0.5}
    result, policy, _ = run(Beam(n=4, width=2), tree, scores)
    assert policy.asked == [("", 4), ("go", 2), ("go on", 2), ("go on x", 2)]
    assert chosen(result) == "end"


def test_lookahead_sees_where_the_roads_lead() -> None:
    result, policy, _ = run(Lookahead(n=2, width=2, steps=1))
    assert policy.asked == [("", 2), ("left", 1), ("right", 1), ("right", 2)]
    assert chosen(result) == "right yes"


def test_dvts_goes_one_way_in_each_subtree() -> None:
    tree = {"": ["left", "left", "right", "right"], **{k: v for k, v in ROADS.items() if k}}
    result, policy, _ = run(Dvts(n=4, width=2), tree)
    assert policy.asked == [("", 4), ("left", 2), ("right", 2)]
    assert chosen(result) == "right yes"


def test_rebase_shares_continuations_by_softmax_of_the_values() -> None:
    result, policy, _ = run(Rebase(n=8, temperature=0.1))
    # softmax((0.8, 0.7) / 0.1) of 8 is (5.85, 2.15)
    assert policy.asked == [("", 8), ("left", 6), ("right", 2)]
    assert chosen(result) == "left maybe"  # three of 0.3 outweigh one of 0.7: a weighted vote


@pytest.mark.parametrize(
    ("total", "shares", "given"),
    [
        (3, [0.4, 0.3, 0.3], [1, 1, 1]),
        (2, [0.4, 0.3, 0.3], [1, 1, 0]),
        (0, [1.0], [0]),
        (4, [], []),
    ],
)
def test_shares_add_up(total: int, shares: list[float], given: list[int]) -> None:
    assert apportion(total, shares) == given


def test_mcts_leaves_a_road_that_turned_out_bad() -> None:
    result, policy, _ = run(Mcts(n=4, width=2, exploration=0.5))
    assert policy.asked == [("", 2), ("left", 2), ("right", 2)]
    assert chosen(result) == "right yes"


def test_mcts_expands_the_better_road_again_and_again() -> None:
    result, policy, _ = run(Mcts(n=100, width=2))
    often = Counter(place for place, _ in policy.asked)
    assert often["right"] > 5 * often["left"] > 0
    assert len(result.chains) == 4 and sum(often.values()) == 52


def test_particles_gather_where_the_odds_are() -> None:
    tree = {"": ["bad", "good"], "bad": ["x"], "good": ["y"]}
    scores = {"bad": 0.001, "good": 0.999, "x": 0.5, "y": 0.9}
    result, policy, _ = run(ParticleFilter(n=8), tree, scores)
    assert policy.asked == [("", 8), ("good", 8)]
    assert chosen(result) == "good y"


def test_particle_gibbs_keeps_a_chain_through_its_iterations() -> None:
    result, policy, _ = run(ParticleFilter(n=4, iterations=3))
    roots = [count for place, count in policy.asked if place == ""]
    assert roots == [4, 3, 3]
    assert result.is_finished


def test_adaptive_best_of_n_stops_at_the_first_good_chain() -> None:
    result, policy, _ = run(AdaptiveBestOfN(enough=0.7, n=8, batch=1))
    # left no, right yes
    assert policy.asked == [("", 1), ("", 1)]
    assert chosen(result) == "right yes"
    _, policy, _ = run(AdaptiveBestOfN(enough=0.99, n=8, batch=3))
    assert [count for _, count in policy.asked] == [3, 3, 2]


def test_an_adaptive_vote_stops_when_the_rest_could_not_turn_it() -> None:
    _, policy, scorer = run(AdaptiveVote(answer_key=answer, n=16, batch=4), {"": ["a"]})
    assert [count for _, count in policy.asked] == [4, 4] and not scorer.scored
    _, policy, _ = run(AdaptiveVote(answer_key=answer, n=16, batch=4), {"": ["a", "b"]})
    assert sum(count for _, count in policy.asked) == 16


def test_an_adaptive_vote_errs_no_more_than_it_says() -> None:
    """A policy that gives two answers equally: any winner before the end is an error."""
    problems = [Problem(str(k), f"Coin {k}?") for k in range(300)]
    search = AdaptiveVote(answer_key=answer, n=64, batch=1, error=0.1)
    pick = rule("majority", scorer=None, answer_key=answer)
    policy = DicePolicy(steps=1, sides=2)
    setting = Setting(generator=policy, pick=pick, in_flight=300, batch=300)
    results = run_searches(search, problems, setting)
    # those that stopped because the rest could not turn the vote have used most of the chains
    early = sum(result.spent.calls < 40 for result in results)
    assert early / 300 <= 0.1


def test_early_abort_gives_up_hopeless_chains_and_forks_living_ones() -> None:
    tree = {"": ["bad", "good"], "bad": ["no"], "good": ["fine"], "good fine": ["yes"]}
    scores = {"bad": 0.2, "good": 0.9, "fine": 0.8, "yes": 0.9, "no": 0.1}
    result, policy, _ = run(EarlyAbort(below=0.5, enough=0.8, n=6, in_flight=4), tree, scores)
    assert policy.asked == [("", 4), ("good", 4), ("good fine", 4)]
    assert chosen(result) == "good fine yes"
    assert result.spent.calls == 12


def test_early_abort_does_not_end_with_a_chain_that_it_would_give_up() -> None:
    tree = {"": ["poor", "good"], "poor": ["no"], "good": ["yes"]}
    scores = {"poor": 0.6, "good": 0.6, "no": 0.1, "yes": 0.7}
    result, policy, _ = run(EarlyAbort(below=0.5, enough=0.05, n=3, in_flight=1), tree, scores)
    assert policy.asked == [("", 1), ("poor", 1), ("", 1), ("good", 1)]
    assert chosen(result) == "good yes"


def test_early_abort_starts_anew_where_nothing_lives_and_ends_with_what_there_is() -> None:
    tree = {"": ["bad"], "bad": ["no"]}
    result, policy, _ = run(EarlyAbort(below=0.5, n=5, in_flight=2), tree, {"bad": 0.2})
    assert policy.asked == [("", 2), ("", 2), ("", 1)]
    assert not result.is_finished and chosen(result) == "bad"


# One chain is lost in its second word, another goes on.
SPELLED = {"": ["we lose it here at once", "we keep it"], "we keep it": ["and are done"]}
LOOKS = {"we lose": 0.1, "we lose it": 0.3, "we keep": 0.8, "we keep it": 0.9, "and are done": 0.9}


def look(search: Search, **given: Any) -> tuple[SearchResult, WordPolicy, Reader]:
    policy, scorer = WordPolicy(SPELLED), Reader(LOOKS)
    pick = rule(search.rule, scorer=None, answer_key=answer)
    how = Setting(generator=policy, scorer=scorer, pick=pick, **given)
    [result] = run_searches(search, [PROBLEM], how)
    return result, policy, scorer


def test_a_chain_is_given_up_inside_a_step_and_its_place_goes_to_others() -> None:
    search = EarlyAbort(below=0.5, n=2, in_flight=2, look_every=3, below_inside=0.2)
    result, policy, scorer = look(search)
    # after three words both are looked at, by their two whole ones; "we keep it" is a whole step
    assert policy.asked == [("", 2, False), ("we keep it", 1, False)]
    assert scorer.looked == ["we lose"]
    assert chosen(result) == "we keep it and are done" and result.value == 0.9
    assert result.spent.tokens_sampled == 3 + 3 + 3


def test_a_step_that_keeps_its_hope_is_written_on_inside_it_and_costs_its_tokens_once() -> None:
    search = EarlyAbort(below=0.5, n=2, in_flight=2, look_every=3, below_inside=0.05)
    result, policy, scorer = look(search)
    assert policy.asked == [("", 2, False), ("we lose it", 1, True), ("we keep it", 1, False)]
    assert scorer.looked == ["we lose"]
    assert result.spent.tokens_sampled == 6 + 3 + 3
    assert result.spent.tokens_scored == 6 + 3 + 3


def test_a_step_that_pauses_before_its_separator_goes_on() -> None:
    search = EarlyAbort(below=0.5, n=2, in_flight=2, look_every=3, below_inside=0.05)
    policy, scorer = WordPolicy(SPELLED, separator_tokens=1), Reader(LOOKS)
    pick = rule(search.rule, scorer=None, answer_key=answer)
    [result] = run_searches(search, [PROBLEM], Setting(generator=policy, scorer=scorer, pick=pick))
    assert ("we keep it", 1, True) in policy.asked and ("we keep it", 1, False) in policy.asked
    assert result.is_finished and chosen(result) == "we keep it and are done"


def test_looks_do_not_make_a_step_longer_than_max_tokens() -> None:
    search = EarlyAbort(below=0.0, n=2, in_flight=2, look_every=2)
    result, policy, _ = look(search, sampling=Sampling(max_tokens=5))
    assert [count for place, count, _ in policy.asked if place == "we lose it here"] == [1]
    assert all(place != "we lose it here at" for place, _, _ in policy.asked)
    assert chosen(result) == "we keep it and are done"


def test_a_search_that_looked_inside_steps_goes_on_from_its_log(tmp_path: Path) -> None:
    search = EarlyAbort(below=0.5, n=2, in_flight=2, look_every=2, below_inside=0.05)
    pick = rule(search.rule, scorer=None, answer_key=answer)
    told: list[tuple[str, int, Any]] = []
    for _ in range(2):
        policy, scorer = WordPolicy(SPELLED), Reader(LOOKS)
        how = Setting(generator=policy, scorer=scorer, pick=pick)
        with SearchLog.open(tmp_path / "log", "words") as log:
            [result] = run_searches(search, [PROBLEM], how, log=log)
        told.append((chosen(result), len(policy.asked), result.spent))
    assert told[0][1] > 0 == told[1][1]
    assert told[0][0] == told[1][0] and told[0][2] == told[1][2]


def test_a_step_that_paused_is_no_answer_for_one_that_was_cut_off(tmp_path: Path) -> None:
    """The log of a search with looks, and then a small `max_tokens` without looks."""
    policy, scorer = WordPolicy(SPELLED), Reader(LOOKS)
    pick = rule("min", scorer=None, answer_key=answer)
    how = Setting(generator=policy, scorer=scorer, pick=pick)
    with SearchLog.open(tmp_path / "log", "words") as log:
        looking = EarlyAbort(below=0.5, n=2, in_flight=2, look_every=2, below_inside=0.05)
        run_searches(looking, [PROBLEM], how, log=log)
        cut, num_asked = replace(how, sampling=Sampling(max_tokens=2)), len(policy.asked)
        run_searches(EarlyAbort(below=0.5, n=2, in_flight=2), [PROBLEM], cut, log=log)
    assert policy.asked[num_asked:] == [("", 2, False)]


def test_looks_are_refused_where_policy_or_scorer_can_not() -> None:
    search = EarlyAbort(below=0.5, look_every=2)
    pick = rule(search.rule, scorer=None, answer_key=answer)
    deaf = Setting(generator=TreePolicy(ROADS), scorer=Reader(LOOKS), pick=pick)
    with pytest.raises(RungError, match="the policy tree can't pause inside a step"):
        run_searches(search, [PROBLEM], deaf)
    blind = Setting(generator=WordPolicy(SPELLED), scorer=TableScorer(LOOKS), pick=pick)
    with pytest.raises(RungError, match="the scorer table can't score a step before it ends"):
        run_searches(search, [PROBLEM], blind)


def test_the_best_of_unfinished_chains_is_one_of_whole_steps() -> None:
    search = EarlyAbort(below=0.5, n=2, in_flight=2, look_every=3, below_inside=0.05)
    result, *_ = look(search, budget=Budget(calls=2))
    assert (result.reason, chosen(result)) == ("calls", "we keep it")


@pytest.mark.parametrize("text", ["12 + 5 = 17", "  so  it\tis ", "one", " "])
def test_whole_words_of_a_growing_step_are_among_its_openings(text: str) -> None:
    seen = {whole_words(text[:end]) for end in range(len(text) + 1)}
    assert {look for look in seen if look.strip()} == set(openings(text))


def test_allocation_goes_where_a_chain_is_worth_most() -> None:
    easy, hard = Problem("easy", "Easy?"), Problem("hard", "Hard?")

    class Scorer(TableScorer):
        def score(self, chains: Sequence[Chain]) -> list[StepScores]:
            values = [0.95 if c.problem is easy else int(c.texts[0]) / 10 for c in chains]
            return [StepScores((value,), self.name) for value in values]

    pick = rule("min", scorer=None, answer_key=answer)
    setting = Setting(generator=DicePolicy(steps=1), scorer=Scorer(), pick=pick)
    log = SearchLog()
    results = run_searches(Allocate(n=8, first=2, batch=2), [easy, hard], setting, log=log)
    calls = {p.id: sum(key.startswith(p.root_id) for key in log.sampled) for p in (easy, hard)}
    assert calls == {"easy": 1, "hard": 7}
    assert [r.problem.id for r in results] == ["easy", "hard"]
    assert results[0].spent is results[1].spent and results[0].spent.calls == 16


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_ends_with_an_answer_and_asks_the_same_again(name: str) -> None:
    def once() -> tuple[list[str], int]:
        policy = DicePolicy()
        scorer = TableScorer(otherwise=lambda text: int(text) / 10)
        search = ALGORITHMS[name](Knobs(n=8, width=2, answer_key=answer, below=0.2, enough=0.5))
        pick = rule(search.rule, scorer=None, answer_key=answer)
        problems = [Problem(str(k), f"Problem {k}?") for k in range(5)]
        setting = Setting(generator=policy, scorer=scorer, pick=pick, in_flight=2, batch=7)
        results = run_searches(search, problems, setting)
        assert all(r.reason == "done" and r.spent.tokens_sampled > 0 for r in results)
        assert sum(r.is_finished for r in results) >= 4
        return [chosen(r) for r in results], results[0].spent.calls

    assert once() == once()


def test_knobs_out_of_range_are_refused() -> None:
    with pytest.raises(RungError, match="n is 0, expected at least 1"):
        Knobs(n=0)
    with pytest.raises(RungError, match="the error is 1"):
        Knobs(error=1)
