"""its_hub and TreeQuest, the packages themselves, search with our policies and scorers."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from rung.core import Chain, Sampling
from rung.search.its_hub import END, as_language_model, as_process_reward_model
from rung.search.treequest import expansion
from tree_policy import PROBLEM, DicePolicy, TableScorer, TreePolicy

api = pytest.importorskip("its_hub.api", reason="the package its-hub is not installed")
treequest = pytest.importorskip("treequest", reason="the package treequest is not installed")

ROADS = {
    "": ["left", "right"],
    "left": ["no", "maybe"],
    "right": ["yes", "no"],
}
SCORES = {"left": 0.8, "right": 0.7, "no": 0.1, "maybe": 0.3, "yes": 0.9}


def dice_scorer() -> TableScorer:
    return TableScorer(otherwise=lambda text: int(text) / 10)


def test_they_are_what_its_hub_takes() -> None:
    assert isinstance(as_language_model(DicePolicy()), api.AbstractLanguageModel)
    assert isinstance(as_process_reward_model(TableScorer()), api.AbstractProcessRewardModel)


def test_a_texts_score_is_its_weakest_steps_and_the_end_mark_is_no_step() -> None:
    prm = as_process_reward_model(TableScorer(SCORES))
    assert prm.score("Which way?", ["left", "left\nmaybe" + END, ""]) == [0.8, 0.3, 0.0]
    messages = api.ChatMessages.from_prompt_or_messages("Which way?")
    assert asyncio.run(prm.ascore(messages, ["right\nyes"])) == [0.7]
    assert as_process_reward_model(TableScorer(SCORES), by="last").score("?", ["left\nno"]) == [0.1]


def test_a_conversation_is_continued_by_a_step_and_in_another_way_each_time() -> None:
    model = as_language_model(TreePolicy(ROADS))
    user = api.ChatMessage(role="user", content="Which way?")
    begun = api.ChatMessage(role="assistant", content="right\n")

    def say(messages: Any, **asked: Any) -> Any:
        return asyncio.run(model.agenerate(messages, **asked))

    assert [m["content"] for m in say([[user], [user]], stop="\n")] == ["left", "right"]
    assert say([user, begun], stop="\n")["content"] == "yes" + END
    assert say([user, begun], stop="\n")["content"] == "no" + END
    whole = asyncio.run(model.agenerate_single([user]))
    assert whole["content"].endswith(END) and "\n" in whole["content"]


@pytest.mark.parametrize(
    ("place", "options"),
    [("beam_search.BeamSearch", {"beam_width": 2}), ("particle_gibbs.ParticleGibbs", {})],
)
def test_its_hub_searches_with_our_policy_and_prm(place: str, options: dict[str, int]) -> None:
    module, _, name = place.partition(".")
    algorithms = pytest.importorskip(f"its_hub.core.algorithms.{module}")
    generation = pytest.importorskip("its_hub.core.lms.step_generation")
    steps = generation.StepGeneration(8, step_token="\n", stop_token=END, temperature=1.0)
    prm, model = as_process_reward_model(dice_scorer()), as_language_model(DicePolicy())
    search = getattr(algorithms, name)(steps, prm, **options)
    found = asyncio.run(search.ainfer(model, "Throw four dice.", 8))
    throws = found["content"].removesuffix(END).split("\n")
    assert len(throws) == 4 and set(throws) <= set("123456")


@pytest.mark.parametrize("name", ["StandardMCTS", "ABMCTSA", "TreeOfThoughtsBFSAlgo"])
def test_treequest_drives_our_nodes(name: str) -> None:
    expand = expansion(PROBLEM, DicePolicy(), dice_scorer())
    algorithm = getattr(treequest, name)()
    tree = algorithm.init_tree()
    for _ in range(30):
        tree = algorithm.step(tree, {"throw": expand})
    pairs = algorithm.get_state_score_pairs(tree)
    assert len(pairs) == 30
    for chain, score in pairs:
        assert isinstance(chain, Chain) and 1 <= len(chain.steps) <= 4
        assert score == min(int(text) for text in chain.texts) / 10


def test_a_chain_that_has_ended_is_its_own_child() -> None:
    policy = TreePolicy(ROADS)
    expand = expansion(PROBLEM, policy, TableScorer(SCORES))
    chain, value = expand(None)
    assert (chain.texts, value) == (("left",), 0.8)
    ended, value = expand(chain)
    assert value == 0.1 and expand(ended) == (ended, value)
    assert len(policy.asked) == 2
    again, _ = expand(None)
    assert again.texts == ("right",)


def test_sampling_is_handed_on() -> None:
    seen: list[Sampling] = []

    class Listens(DicePolicy):
        def sample(self, prefixes: Any, n: int, sampling: Sampling) -> Any:
            seen.append(sampling)
            return super().sample(prefixes, n, sampling)

    model = as_language_model(Listens(), sampling=Sampling(top_p=0.5, max_tokens=7))
    message = api.ChatMessage(role="user", content="Go.")
    asyncio.run(model.agenerate([message], stop="\n", temperature=0.3))
    assert replace(seen[0], seed=0) == Sampling(0.3, 0.5, 7, 0, "step")
