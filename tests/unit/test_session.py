"""A session's scores are those of full passes, while chains grow, fork, are dropped, forgotten."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TinyReward
from rung import Chain, Problem, RungError, Step
from rung.score import load_implicit, load_scorer
from tiny_lms import save_implicit

FP32 = 1e-5
PROBLEM = Problem("p", "How many apples and how many pears are there?")
WORDS = ["we", "add", "one", "and", "two", "so", "12", "+", "30", "=", "42"]


@pytest.fixture(scope="module")
def scorer(tiny_reward: TinyReward):
    return load_scorer(tiny_reward())


def texts(seed, num):
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 8))) for _ in range(num)]


def full_score(scorer, chain):
    return scorer.score([chain])[0].scores[-1]


@pytest.fixture(scope="module")
def known():
    """Scores of full passes: trees of few words meet again and again."""
    return {}


@given(
    moves=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9), st.booleans()), max_size=12),
    kept_mib=st.sampled_from([None, 0.0, 0.02]),
    seed=st.integers(0, 5),
)
@settings(max_examples=15, deadline=None)
def test_any_tree_scores_as_full_passes_do(scorer, known, moves, kept_mib, seed):
    session = scorer.open(PROBLEM, max_kept_mib=kept_mib)
    live, words = [PROBLEM.root_id], texts(seed, 10)
    for where, what, is_dropped in moves:
        parent = live[where % len(live)]
        found = session.extend([parent, parent], [words[what], words[(what + 1) % 10]])
        for step in found:
            if step.id not in known:
                known[step.id] = full_score(scorer, session.chain(step.id))
            assert step.score == pytest.approx(known[step.id], abs=FP32)
        live += [step.id for step in found]
        if is_dropped and len(live) > 1:
            gone = live.pop(where % (len(live) - 1) + 1)
            session.drop([gone])
            live = [one for one in live if one != gone]
    session.drop(list(live))
    assert session.live == frozenset()
    assert session.kept_tokens == 0


def test_a_step_costs_its_own_tokens(scorer):
    session = scorer.open(PROBLEM)
    (first,) = session.extend([PROBLEM.root_id], ["we add one"])
    before = session.usage.computed
    session.extend([first.id, first.id], ["so 12", "so 30"])
    steps = [Chain.of(PROBLEM, ["we add one", text]) for text in ("so 12", "so 30")]
    rendered = scorer.reader.render([Chain.of(PROBLEM, ["we add one"]), *steps])
    known, one, two = (r.ids for r in rendered)
    shared = next(k for k, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    assert session.usage.computed - before == len(one) + len(two) - len(known) - shared


def test_a_step_of_an_implicit_prm_costs_its_own_tokens_and_one_in_each_model(tmp_path):
    implicit = load_implicit(save_implicit(tmp_path / "prm"))
    session = implicit.open(PROBLEM)
    (first,) = session.extend([PROBLEM.root_id], ["we add one"])
    before = session.usage.computed
    (second,) = session.extend([first.id], ["so 12"])
    short, long = implicit.lay_out([Chain.of(PROBLEM, ["we add one"]), session.chain(second.id)])
    assert session.usage.computed - before == 2 * (len(long.ids) - len(short.ids) + 1)
    assert session.kept_tokens == 2 * len(long.ids)


def test_a_live_step_is_not_scored_again(scorer):
    session = scorer.open(PROBLEM)
    first = session.extend([PROBLEM.root_id], ["we add one"])
    before = session.usage.computed
    assert session.extend([PROBLEM.root_id], ["we add one"]) == first
    assert session.usage.computed == before


def test_several_problems_share_a_session(scorer):
    session = scorer.open(PROBLEM)
    other = replace(PROBLEM, question="Another one?")
    root = session.add(other)
    found = session.extend([PROBLEM.root_id, root], ["so 12", "so 12"])
    for step in found:
        expected = full_score(scorer, session.chain(step.id))
        assert step.score == pytest.approx(expected, abs=FP32)
    assert found[0].score != found[1].score


def test_an_unfinished_step_is_scored_and_not_kept(scorer):
    session = scorer.open(PROBLEM)
    (first,) = session.extend([PROBLEM.root_id], ["we add one"])
    kept = session.kept_tokens
    [(_, partial)] = session.peek([first.id], ["so 12 +"])
    assert partial == pytest.approx(
        full_score(scorer, Chain.of(PROBLEM, ["we add one", "so 12 +"])), abs=FP32
    )
    assert session.kept_tokens == kept
    for _ in range(2):  # a held one costs nothing more, and can be asked for again
        [(held, again)] = session.peek([first.id], ["so 12 +"], hold=True)
        assert again == pytest.approx(partial, abs=FP32) and session.kept_tokens > kept
    session.drop([held])
    assert session.kept_tokens == kept
    assert session.live == {PROBLEM.root_id, first.id}
    assert session.peek([PROBLEM.root_id], ["we add one"]) == [first]


def test_an_unfinished_step_is_refused_where_its_score_means_nothing(scorer):
    reader = replace(scorer.reader, reads_unfinished_steps=False)
    session = replace(scorer, reader=reader).open(PROBLEM)
    with pytest.raises(RungError, match="can't score a step before it ends"):
        session.peek([PROBLEM.root_id], ["we"])


def test_an_observation_belongs_to_the_step(scorer):
    session = scorer.open(PROBLEM)
    step = Step("run it", role="tool", observation="42")
    (found,) = session.extend([PROBLEM.root_id], [step])
    assert session.chain(found.id).steps[0].observation == "42"
    expected = full_score(scorer, Chain(PROBLEM, (step,)))
    assert found.score == pytest.approx(expected, abs=FP32)


def test_steps_beyond_the_context_have_no_score_and_cost_nothing(tiny_reward: TinyReward):
    session = load_scorer(tiny_reward("prm", 40)).open(PROBLEM)
    (long,) = session.extend([PROBLEM.root_id], ["and " * 60])
    (behind,) = session.extend([long.id], ["so"])
    assert long.score is None and behind.score is None
    assert session.usage.computed == 0
    session.drop([long.id, behind.id])


def test_a_prefix_that_is_not_live_is_named(scorer):
    session = scorer.open(PROBLEM)
    with pytest.raises(RungError, match="no live prefix has the id 'nobody'"):
        session.extend(["nobody"], ["so"])
    session.drop(["nobody"])


def test_an_orm_scores_each_prefix_as_a_chain_that_ends(tiny_reward: TinyReward):
    orm = load_scorer(tiny_reward("orm"))
    session = orm.open(PROBLEM)
    (first,) = session.extend([PROBLEM.root_id], ["we add one"])
    (second,) = session.extend([first.id], ["so 12"])
    for step in (first, second):
        expected = full_score(orm, session.chain(step.id))
        assert step.score == pytest.approx(expected, abs=FP32)
