"""Steps that act: the observation joins the step before it is scored or written on."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from rung.core import Chain, Generator, Provenance, RungError, Sampling, Step
from rung.generate import ActingGenerator
from rung.search import Beam, BestOfN, Search, Setting, rule, run_searches
from tree_policy import PROBLEM, TableScorer

CALL = "call add 2 3"


@dataclass
class Caller:
    """Calls a tool first, and then says what it has read; it ends its turn after each call."""

    tokens: int = 3
    name: str = "caller"
    read: list[str | None] = field(default_factory=list[str | None])

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        assert sampling.until == "step"
        return [[self._write(prefix) for _ in range(n)] for prefix in prefixes]

    def _write(self, prefix: Chain) -> Chain:
        source = Provenance(finish_reason="stop", num_tokens=self.tokens)
        if not prefix.steps:
            return Chain(prefix.problem, (Step(CALL),), source=source)
        self.read.append(prefix.steps[-1].observation)
        answer = prefix.steps[-1].observation
        steps = (*prefix.steps, Step(f"so {answer}"))
        return Chain(prefix.problem, steps, answer, source=source)


def add(chain: Chain) -> str | None:
    call, _, rest = chain.texts[-1].partition(" add ")
    return str(sum(map(int, rest.split()))) if call == "call" else None


def test_it_is_a_generator_and_keeps_the_policys_name() -> None:
    acting = ActingGenerator(Caller(), add)
    assert isinstance(acting, Generator) and acting.name == "caller"


def test_a_whole_chain_reads_what_came_back_and_counts_all_its_tokens() -> None:
    [[chain]] = ActingGenerator(Caller(), add).sample([Chain(PROBLEM, ())], 1, Sampling())
    assert [(s.text, s.observation) for s in chain.steps] == [(CALL, "5"), ("so 5", None)]
    assert chain.answer == "5" and chain.source is not None
    assert (chain.source.finish_reason, chain.source.num_tokens) == ("stop", 6)


def test_one_step_is_one_step_and_its_chain_goes_on() -> None:
    sampling = Sampling(until="step")
    [[one, two]] = ActingGenerator(Caller(), add).sample([Chain(PROBLEM, ())], 2, sampling)
    assert one == two and one.answer is None
    assert one.source is not None and one.source.finish_reason is None
    assert one.steps[0].observation == "5"
    assert one.prefix_id != Chain(PROBLEM, (Step(CALL),)).prefix_id


@pytest.mark.parametrize("search", [Beam(n=4, width=2), BestOfN(n=4)])
def test_searches_score_steps_with_their_observations(search: Search) -> None:
    scorer, policy = TableScorer(), Caller()
    pick = rule("min", scorer=None, answer_key=lambda chain: chain.answer)
    setting = Setting(generator=ActingGenerator(policy, add), scorer=scorer, pick=pick)
    [result] = run_searches(search, [PROBLEM], setting)
    assert result.chosen is not None and result.chosen.chain.answer == "5"
    assert all(chain.steps[0].observation == "5" for chain in scorer.scored)
    assert set(policy.read) == {"5"}


def test_a_chain_without_an_end_is_cut_off() -> None:
    class Loops(Caller):
        def _write(self, prefix: Chain) -> Chain:
            return Chain(prefix.problem, (*prefix.steps, Step(CALL)), source=Provenance())

    [[chain]] = ActingGenerator(Loops(), add, max_steps=5).sample(
        [Chain(PROBLEM, ())], 1, Sampling()
    )
    assert len(chain.steps) == 5
    assert chain.source is not None and chain.source.finish_reason == "length"


def test_a_step_that_is_cut_off_does_not_act() -> None:
    class Cut(Caller):
        def _write(self, prefix: Chain) -> Chain:
            source = Provenance(finish_reason="length", num_tokens=1)
            return Chain(prefix.problem, (Step("call add 2 boom"),), source=source)

    [[chain]] = ActingGenerator(Cut(), add).sample([Chain(PROBLEM, ())], 1, Sampling())
    assert chain.steps[0].observation is None


def test_a_tool_that_fails_is_named() -> None:
    class Wrong(Caller):
        def _write(self, prefix: Chain) -> Chain:
            return Chain(prefix.problem, (Step("call add 2 x"),), source=Provenance())

    with pytest.raises(RungError, match=r"the tool for step 'call add 2 x' failed \(ValueError"):
        ActingGenerator(Wrong(), add).sample([Chain(PROBLEM, ())], 1, Sampling())
