"""Which steps of an answer are certain while a search runs."""

from collections.abc import Sequence

import pytest

from rung import Chain, Problem
from rung.core import Provenance
from rung.search import ALGORITHMS, Budget, Knobs, Setting, rule, run_searches
from rung.search.growth import Expand, Grown, root
from rung.serve.certain import NARROWING, SureStep, Telling, certain_steps
from tree_policy import PROBLEM, DicePolicy, TableScorer, TreePolicy


def grown(*texts: str, ended: bool = False) -> Grown:
    source = Provenance(finish_reason="stop" if ended else None)
    return Grown(Chain.of(PROBLEM, texts, source=source), is_open=not ended)


def certain(told: Sequence[Grown], *asked: Grown) -> list[str]:
    return [step.text for step in certain_steps(told, [Expand(one.chain) for one in asked])]


def test_a_step_is_certain_once_nothing_else_can_be_picked():
    a, b, ab, ac = grown("a"), grown("b"), grown("a", "b"), grown("a", "c")
    assert certain([a, b], a) == []  # the budget may end here, and b be picked
    assert certain([a, b, ab, ac], ab, ac) == ["a"]
    assert certain([a, b, ab, ac], ab) == ["a"]
    assert certain([a, b, ab, ac, grown("a", "b", "d")], grown("a", "b", "d")) == ["a", "b", "d"]
    assert certain([a, b, grown("b", ended=True), ab], ab) == []  # an ended chain may win
    assert certain([a, grown("a", "c", ended=True), ab], ab) == ["a"]
    assert certain([], Grown(root(PROBLEM))) == []


@pytest.mark.parametrize("name", [name for name in NARROWING if name != "one"])
@pytest.mark.parametrize("tokens", [3, 9, 20, 41, None])
def test_no_step_that_was_told_is_taken_back(name: str, tokens: int | None):
    """Whatever the budget cuts: the answer begins with what was told."""
    scorer = TableScorer(otherwise=lambda text: int(text) / 6)
    pick = rule("min", scorer=None, answer_key=lambda chain: chain.answer)
    for number in range(12):
        told: list[SureStep] = []
        search = Telling(ALGORITHMS[name](Knobs(n=4, width=2, seed=number)), told.append)
        problem = Problem(f"{number}", f"Roll {number}.", "6")
        setting = Setting(
            generator=DicePolicy(sides=6), scorer=scorer, pick=pick, budget=Budget(tokens=tokens)
        )
        [result] = run_searches(search, [problem], setting)
        assert [one.place for one in told] == list(range(len(told)))
        texts = () if result.chosen is None else result.chosen.chain.texts
        assert tuple(one.text for one in told) == texts[: len(told)]


def test_a_beam_that_narrows_tells_its_steps_before_it_ends():
    tree = {"": ["a", "b"], "a": ["c"], "b": ["c"], "a c": ["d", "e"]}
    scores = {"a": 0.9, "b": 0.1, "c": 0.8, "d": 0.3, "e": 0.7}
    told: list[SureStep] = []
    search = Telling(ALGORITHMS["beam"](Knobs(n=2, width=2)), told.append)
    pick = rule("min", scorer=None, answer_key=lambda chain: chain.answer)
    setting = Setting(generator=TreePolicy(tree), scorer=TableScorer(scores), pick=pick)
    [result] = run_searches(search, [PROBLEM], setting)
    assert result.chosen is not None and result.chosen.chain.texts == ("a", "c", "e")
    assert told == [SureStep(0, "a", 0.9), SureStep(1, "c", 0.8)]
