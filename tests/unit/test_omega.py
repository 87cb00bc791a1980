"""OmegaPRM: the first error by binary search, and a tree that never searches a rollout twice."""

import math

import pytest

from coin_policy import BAD, NUM_STEPS, CoinPolicy, chain_of, good, wrong_from
from rung.core import Chain, RungError, Sampling
from rung.label import OmegaForest, OmegaRule, RolloutSource, label_by_rollouts


def searched(chains: list[Chain], rule: OmegaRule, policy: CoinPolicy | None = None) -> OmegaForest:
    policy = policy or CoinPolicy()
    forest = OmegaForest.start(chains, policy.verify(chains), rule)
    label_by_rollouts(forest, RolloutSource(policy, policy, Sampling(seed=0)))
    return forest


@pytest.mark.parametrize("first", range(NUM_STEPS))
def test_the_first_error_is_found_wherever_it_is(first: int):
    [labels] = searched([wrong_from(first)], OmegaRule(k=16)).result()
    expected = [1.0] * first + [0.0] + [None] * (NUM_STEPS - first - 1)
    assert labels.labels == tuple(expected)


def test_a_right_chain_is_right_at_every_step_and_costs_only_the_question():
    policy = CoinPolicy()
    chain = chain_of(*good(NUM_STEPS))
    [labels] = searched([chain], OmegaRule(), policy).result()
    assert labels.labels == (1.0,) * NUM_STEPS
    assert set(policy.sampled) == {chain.problem.root_id}


def test_a_chain_without_an_answer_is_judged_by_its_rollouts():
    chains = [chain_of(*good(2), answer=None), chain_of(*good(1), BAD, answer=None)]
    labels = searched(chains, OmegaRule(k=16)).result()
    assert [y.labels for y in labels] == [(1.0, 1.0), (1.0, 0.0)]


def test_a_problem_that_the_policy_never_solves_gets_no_labels():
    policy = CoinPolicy(error_rate=1.0)
    [labels] = searched([wrong_from(2)], OmegaRule(k=4), policy).result()
    assert labels.labels == (None,) * NUM_STEPS
    assert sum(policy.sampled.values()) == 4


def test_binary_search_tries_about_log2_of_the_steps():
    policy = CoinPolicy(error_rate=0.0)
    searched([wrong_from(3)], OmegaRule(k=8), policy)
    assert len(policy.sampled) <= 1 + math.ceil(math.log2(NUM_STEPS))


def test_no_rollout_is_searched_twice_and_all_searched_chains_differ():
    rule = OmegaRule(k=8, adaptive=False, grow=6)
    forest = searched([wrong_from(2), wrong_from(3), wrong_from(2)], rule, CoinPolicy(0.3))
    grown = [s.chain.prefix_id for s in forest.grown()]
    [tree] = forest.trees.values()
    assert len(grown) == len(set(grown)) == 6
    assert sum(state.visits for state in tree.states.values()) == 6
    assert not set(grown) & {wrong_from(2).prefix_id, wrong_from(3).prefix_id}
    for found in forest.grown():
        bad = [text.startswith(BAD) for text in found.chain.texts].index(True)
        assert found.labels.first_error in (bad, bad - 1), "k rollouts may all miss"


def test_growing_ends_when_no_wrong_rollout_is_left():
    forest = searched([wrong_from(2)], OmegaRule(k=2, grow=10_000), CoinPolicy(0.1))
    [tree] = forest.trees.values()
    assert tree.select() is None


def test_the_selection_rule_is_the_papers():
    forest = searched([], OmegaRule())
    assert forest.ask() == []
    rule = OmegaRule(k=8, adaptive=False)
    [tree] = searched([wrong_from(4)], rule, CoinPolicy(0.3)).trees.values()
    selected = tree.select()
    assert selected is not None

    def value(state, rollout) -> float:
        correct, total = state.count
        visits = sum(s.visits for s in tree.states.values())
        q = 0.5 ** (1 - correct / total) * 0.9 ** (rollout.num_tokens / 500)
        return q + 0.125 * math.sqrt(visits) / (1 + state.visits)

    values = {
        (state.chain.prefix_id, chain.prefix_id): value(state, rollout)
        for state in tree.states.values()
        for chain, rollout in state.rollouts
        if 0 < state.count.correct < state.count.total and not rollout.verdict.is_correct
        if chain.prefix_id not in tree.found
    }
    state, chain = selected
    assert values[state.chain.prefix_id, chain.prefix_id] == max(values.values())


def test_golden_tree_of_a_fixed_policy():
    forest = searched([wrong_from(1), wrong_from(3)], OmegaRule(k=4, grow=2), CoinPolicy(0.4))
    assert [y.labels for y in forest.result()] == [
        (1.0, 0.0, None, None, None),
        (1.0, 1.0, 1.0, 0.0, None),
    ]
    assert [(found.chain.texts, found.labels.labels) for found in forest.grown()] == [
        (("good 0", "good 1", "good 2", "bad", "good 4"), (1.0, 1.0, 1.0, 0.0, None)),
        (("good 0", "good 1", "good 2", "good 3", "bad"), (1.0, 1.0, 1.0, 1.0, 0.0)),
    ]
    assert (forest.spent.rollouts, forest.spent.tokens) == (11, 70)


@pytest.mark.parametrize("bad", [{"k": 0}, {"grow": -1}, {"alpha": 0.0}, {"length": 0.0}])
def test_numbers_out_of_range_are_refused(bad: dict[str, float]):
    with pytest.raises(RungError):
        OmegaRule(**bad)
