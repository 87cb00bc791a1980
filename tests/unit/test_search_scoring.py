"""Scorers beside a search: sessions of growing prefixes, their memory, looks, and a verifier."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from conftest import TinyReward
from rung.core import Chain, ChainRecord, Problem, Provenance, StepLabels
from rung.score import LabelingScorer, StrictestScorer, load_scorer
from rung.search import Beam, BestOfN, Setting, rule, run_searches
from rung.search.growth import PART
from rung.search.scoring import growing
from tree_policy import PROBLEM, DicePolicy

PROBLEMS = [Problem(str(k), f"Problem {k}?") for k in range(6)]


def setting(scorer: Any) -> Setting:
    pick = rule("min", scorer=None, answer_key=lambda chain: chain.answer)
    return Setting(generator=DicePolicy(), scorer=scorer, pick=pick)


class Bare:
    """A scorer with its sessions hidden."""

    def __init__(self, scorer: Any) -> None:
        self.name, self.score = scorer.name, scorer.score


def test_one_of_our_prms_scores_a_growing_tree_as_it_scores_whole_chains(
    tiny_reward: TinyReward,
) -> None:
    scorer = load_scorer(tiny_reward())
    for search in (Beam(n=8, width=2), BestOfN(n=8)):
        grown = run_searches(search, PROBLEMS, setting(scorer))
        whole = run_searches(search, PROBLEMS, setting(Bare(scorer)))
        for one, other in zip(grown, whole, strict=True):
            assert one.value == pytest.approx(other.value, abs=1e-5)
            assert one.spent == other.spent


def test_a_step_costs_the_scorer_its_own_tokens_and_a_problem_that_is_over_no_memory(
    tiny_reward: TinyReward,
) -> None:
    scorer = growing(load_scorer(tiny_reward()))
    chain = Chain(PROBLEM, ())
    costs: list[int] = []
    for _ in range(4):
        chain = chain.extend("we add one")
        before = 0 if scorer._session is None else scorer._session.usage.computed  # type: ignore[attr-defined]
        scorer.score([chain])
        costs.append(scorer._session.usage.computed - before)  # type: ignore[attr-defined]
    assert costs[1] == costs[2] == costs[3] < costs[0]
    scorer.forget(PROBLEM)
    assert scorer._session.kept_tokens == 0  # type: ignore[attr-defined]
    assert scorer.score([chain])[0].scores[-1] is not None


class NoFives:
    """A labeler: a 5 is wrong, of even numbers it says nothing, the others are right."""

    source = "no fives"

    def label(self, chains: Sequence[Chain]) -> list[StepLabels]:
        return [StepLabels(tuple(map(self.judge, chain.texts)), self.source) for chain in chains]

    def judge(self, text: str) -> float | None:
        return None if int(text) % 2 == 0 else float("5" not in text)


def test_a_verifier_beside_a_prm_leaves_it_its_session_and_calls_steps_wrong(
    tiny_reward: TinyReward,
) -> None:
    prm = load_scorer(tiny_reward())
    both = StrictestScorer((prm, LabelingScorer(NoFives())))
    grown = run_searches(Beam(n=8, width=2), PROBLEMS, setting(both))
    whole = run_searches(Beam(n=8, width=2), PROBLEMS, setting(Bare(both)))
    assert [one.spent for one in grown] == [other.spent for other in whole]
    for one, other in zip(grown, whole, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-5)
    records = [record for result in grown for record in result.chains]
    assert {record.scores[0].scorer for record in records} == {"least of prm, no fives"}
    scores = [(step, score) for r in records for step, score in _scored_steps(r)]
    fives = {score for text, score in scores if "5" in text}
    others = {score for text, score in scores if "5" not in text}
    assert fives == {0} and len(others) > 1
    growth = growing(both)
    chain = Chain(PROBLEM, ()).extend("1")
    growth.score([chain])
    growth.score([chain.extend("2")])
    of_prm = growth._each[0]  # type: ignore[attr-defined]
    assert of_prm._session.kept_tokens > 0
    growth.forget(PROBLEM)
    assert of_prm._session.kept_tokens == 0
    assert not growth.reads_unfinished_steps


def _scored_steps(record: ChainRecord) -> list[tuple[str, float | None]]:
    return list(zip(record.chain.texts, record.scores[0].scores, strict=True))


def test_a_capped_session_keeps_no_more_and_scores_alike(tiny_reward: TinyReward) -> None:
    scorer = load_scorer(tiny_reward())
    free, capped = growing(scorer), growing(scorer, max_kept_mib=0.01)
    chains = [Chain(PROBLEM, ()).extend(f"we add {start}") for start in ("one", "two")]
    for word in ("and", "two", "to", "get", "three"):
        all_kept, some_kept = free.score(chains), capped.score(chains)
        for one, other in zip(all_kept, some_kept, strict=True):
            assert one.scores == pytest.approx(other.scores, abs=1e-5)
        chains = [chain.extend(f"{word} {word}") for chain in chains]
    first, second = free._session, capped._session  # type: ignore[attr-defined]
    assert second.kept_tokens < first.kept_tokens
    assert first.usage.computed < second.usage.computed


def test_a_look_goes_on_behind_steps_whose_scores_are_from_a_log(tiny_reward: TinyReward) -> None:
    """A log has the scores of whole steps, the session not yet their keys and values."""
    scorer = load_scorer(tiny_reward())
    whole = Chain(PROBLEM, ()).extend("we add").extend("two more")
    [known] = scorer.score([whole])
    no_word, one_word = (
        replace(whole.extend(text), source=Provenance(finish_reason=PART))
        for text in ("then", "then we")
    )
    for first, second in ((no_word, one_word), (one_word, no_word)):
        search = growing(scorer)
        told = {len(c.texts[-1]): search.score([c])[0].scores for c in (first, second)}
        assert told[len("then")][-1] is None and told[len("then we")][-1] is not None
        assert all(scores[:2] == pytest.approx(known.scores, abs=1e-5) for scores in told.values())


def test_a_step_that_reads_as_a_part_of_another_is_not_taken_for_it(
    tiny_reward: TinyReward,
) -> None:
    search = growing(load_scorer(tiny_reward()))
    part = replace(Chain(PROBLEM, ()).extend("we add"), source=Provenance(finish_reason=PART))
    search.score([replace(part.prefix(0).extend("we add on"), source=part.source)])
    whole = Chain(PROBLEM, ()).extend("we add").extend("two")  # "we add" was scored in a log
    assert len(search.score([whole])[0].known) == 2
    search.forget(PROBLEM)
    assert search._session.kept_tokens == 0  # type: ignore[attr-defined]
