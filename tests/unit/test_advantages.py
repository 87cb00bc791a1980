"""Step scores to token advantages: exact on examples, unbiased where they claim to be."""

import doctest
import importlib
import itertools
import math
import pkgutil

import pytest
import torch

from rung import rl
from rung.core import RungError
from rung.rl.pay import Judged, advantages, pay

TWO = torch.tensor([2, 2])


def modules(package):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if found.name != "rung.rl.verl_loop":  # it can't be imported without verl
            yield found.name


@pytest.mark.parametrize("name", list(modules(rl)))
def test_worked_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0


def test_every_way_has_a_worked_example():
    functions = [name for name in rl.__all__ if name.islower() and name != "train_rl"]
    assert len(functions) == 13
    for name in functions:
        assert ">>>" in (getattr(rl, name).__doc__ or ""), name


# A tiny world: two steps, three ways each; a chain of the third way ends at once.
WAYS = 3
CHAINS = [(2,), *((a, b) for a in (0, 1) for b in range(WAYS))]
WORTH = {chain: float(k % 4) - 0.5 * k for k, chain in enumerate(CHAINS)}


def states(chain):
    return [0 if k == 0 else 1 + chain[0] for k in range(len(chain))]


def log_steps(policy, chain):
    return torch.stack(
        [torch.log_softmax(policy[s], 0)[way] for s, way in zip(states(chain), chain, strict=True)]
    )


def rewards(chain):
    """Some for each step, and the worth at the end."""
    found = torch.tensor([0.3 * way - 0.1 * k for k, way in enumerate(chain)])
    found[-1] += WORTH[chain]
    return found


def padded(vectors, width=2):
    return torch.stack([torch.nn.functional.pad(v, (0, width - len(v))) for v in vectors])


def lengths(chains):
    return torch.tensor([len(chain) for chain in chains])


@pytest.fixture
def policy():
    torch.manual_seed(0)
    return torch.randn(3, WAYS, dtype=torch.float64, requires_grad=True)


def true_gradient(policy):
    value = sum(log_steps(policy, c).sum().exp() * rewards(c).sum() for c in CHAINS)
    return torch.autograd.grad(value, policy)[0]


def expected_gradient(policy, advantages, size):
    """Of the policy gradient, over all groups of so many chains, by brute force."""
    total = torch.zeros_like(policy)
    for group in itertools.product(CHAINS, repeat=size):
        logs = [log_steps(policy, chain) for chain in group]
        chance = sum(log.sum() for log in logs).exp().detach()
        found_BS = advantages(group).to(policy.dtype)
        surrogate = sum((log * found_BS[k, : len(log)]).sum() for k, log in enumerate(logs)) / len(
            group
        )
        total += chance * torch.autograd.grad(surrogate, policy)[0]
    return total


def returns(group):
    return rl.returns_to_go(padded(list(map(rewards, group))))


UNBIASED = {
    "returns": (returns, 1),
    "leave one out": (
        lambda g: rl.leave_one_out(returns(g), torch.zeros(len(g), dtype=torch.long), lengths(g)),
        3,
    ),
    "gae with trace 1": (
        lambda g: rl.step_gae(
            padded(list(map(rewards, g))),
            padded([torch.tensor([0.7, -1.3][: len(c)]) for c in g]),
            lengths(g),
            trace=1.0,
        ),
        1,
    ),
}


@pytest.mark.parametrize("name", UNBIASED)
def test_the_expected_gradient_is_that_of_the_expected_return(policy, name):
    advantages, size = UNBIASED[name]
    found = expected_gradient(policy, advantages, size)
    assert torch.allclose(found, true_gradient(policy), atol=1e-6)


def score_of(prefix):
    """Some potential of each prefix."""
    return 0.2 + 0.15 * len(prefix) + 0.2 * prefix[-1] * (1 if prefix[0] else 0.5)


def known(group):
    """Chains as `rung rl` knows them, every step scored."""
    scores = [
        torch.tensor([score_of(chain[: k + 1]) for k in range(len(chain))]) for chain in group
    ]
    is_step_BS = torch.arange(2) < lengths(group)[:, None]
    worth_B, zeros_B = torch.tensor([WORTH[chain] for chain in group]), torch.zeros(len(group))
    return Judged(lengths(group), worth_B, padded(scores), is_step_BS, is_step_BS, zeros_B)


def gradient_of_what_is_paid(policy, paying):
    found = pay(known(CHAINS), paying).rewards_BS.sum(1)
    value = sum(
        log_steps(policy, chain).sum().exp() * earned
        for chain, earned in zip(CHAINS, found, strict=True)
    )
    return torch.autograd.grad(value, policy)[0]


def gradient_of_the_settings(policy, paying):
    """Of two chains compared as `rung rl` compares them."""
    values_BS = torch.tensor([[0.7, -1.3]]).expand(2, 2)

    def found(group):
        judged = known(group)
        return advantages(pay(judged, paying), judged, paying, values_BS)

    return expected_gradient(policy, found, 2)


@pytest.mark.parametrize("baseline", ["leave-one-out", "gae", "group"])
@pytest.mark.parametrize("form", ["outcome", "sum", "difference", "progress", "implicit", "min"])
def test_each_way_to_pay_moves_the_policy_by_the_gradient_of_what_is_paid(policy, form, baseline):
    """But min, where a step's pay depends on later ones: only whole chains tell its gradient."""
    paying = rl.Paying(form=form, baseline=baseline, process_weight=0.5, trace=1.0)
    found, true = gradient_of_the_settings(policy, paying), gradient_of_what_is_paid(policy, paying)
    assert paying.looks_back == (form == "min" and baseline != "group")
    if paying.looks_back:
        assert not torch.allclose(found, true, atol=1e-3)
        return
    share = 1 / 2 if baseline == "group" else 1  # a chain stands in its own mean: (N - 1) / N
    assert torch.allclose(found, share * true, atol=1e-6)
    if form == "difference":  # shaping: the very gradient of the outcome
        outcome = rl.Paying(form="outcome")
        assert torch.allclose(true, gradient_of_what_is_paid(policy, outcome), atol=1e-6)


def test_unscaled_group_advantages_shrink_the_gradient_by_their_own_share(policy):
    """With N chains a chain stands in its own mean: (N - 1) / N of the gradient."""

    def advantages(group):
        totals = torch.stack([rewards(chain).sum() for chain in group])
        zeros = torch.zeros(len(group), dtype=torch.long)
        return rl.group_relative(totals, zeros, lengths(group), 2, scaled=False)

    found = expected_gradient(policy, advantages, 3)
    assert torch.allclose(found, true_gradient(policy) * 2 / 3, atol=1e-6)


def test_scaled_group_advantages_weigh_a_problem_by_how_often_it_is_solved(policy):
    """Right or wrong: the true gradient, times what one more right chain moves an advantage by."""
    size, right = 3, {(2,), (0, 1), (1, 0)}

    def found(group):
        outcomes = torch.tensor([float(chain in right) for chain in group])
        return rl.group_relative(outcomes, torch.zeros(size), lengths(group), 2)

    def advantage(outcome, others):
        group = torch.tensor([outcome, *(k < others for k in range(size - 1))], dtype=torch.float64)
        return (group[0] - group.mean()) / (group.std() + 1e-6)

    chance = sum(log_steps(policy, chain).sum().exp() for chain in right)
    odds = chance.detach()
    weight = sum(
        math.comb(size - 1, k)
        * odds**k
        * (1 - odds) ** (size - 1 - k)
        * (advantage(1.0, k) - advantage(0.0, k))
        for k in range(size)
    )
    true = torch.autograd.grad(chance, policy)[0]
    assert not 0.9 < weight < 1.1
    assert torch.allclose(expected_gradient(policy, found, size), weight * true, atol=1e-5)


def test_group_relative_is_the_papers_formula():
    totals, group = torch.tensor([1.0, 4.0, 2.0, 7.0, 9.0]), torch.tensor([5, 5, 3, 5, 3])
    found = rl.group_relative(totals, group, torch.tensor([1, 2, 2, 2, 1]), 2)
    for members in ([0, 1, 3], [2, 4]):
        own = totals[members]
        expected = (own - own.mean()) / own.std()
        assert torch.allclose(found[members, 0], expected, atol=1e-4)
    assert found[0, 1] == found[4, 1] == 0


def test_process_group_relative_is_the_papers_formula():
    rewards_BS = torch.tensor([[1.0, 3.0, 99.0], [0.0, 5.0, 2.0]])
    found = rl.process_group_relative(rewards_BS, torch.zeros(2), torch.tensor([2, 3]))
    flat = torch.tensor([1.0, 3.0, 0.0, 5.0, 2.0])
    normal = (flat - flat.mean()) / flat.std()
    first = [normal[0] + normal[1], normal[1], 0.0]
    second = [normal[2:].sum(), normal[3:].sum(), normal[4]]
    assert torch.allclose(found, torch.tensor([first, second]), atol=1e-4)


@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_shaping_by_differences_leaves_the_order_of_policies(discount):
    """Every chain's return moves by the same -phi(question): the optimum can't move."""
    torch.manual_seed(1)
    start = torch.tensor([0.4])
    for _ in range(20):
        phi = {chain[:k]: torch.rand(()) for chain in CHAINS for k in (1, 2)}
        for chain in CHAINS:
            scores = torch.stack([phi[chain[: k + 1]] for k in range(len(chain))])
            shaped = rl.difference(scores[None], lengths([chain]), start_B=start, discount=discount)
            total = rl.returns_to_go(shaped, discount=discount)[0, 0]
            assert float(total) == pytest.approx(-0.4, abs=1e-6)


def test_rises_that_are_kept_change_the_optimum_where_shaping_does_not():
    outcomes, ends = torch.tensor([1.0, 0.0]), TWO
    scores = torch.tensor([[0.1, 0.1], [0.9, 0.95]])  # a PRM that errs about both chains
    plain = rl.outcome_only(outcomes, ends, 2)
    kept = rl.process_advantage(scores, torch.zeros(2), ends)
    best = {
        "plain": plain.sum(1).argmax(),
        "shaped": rl.mixed(plain, rl.difference(scores, ends), weight=3.0).sum(1).argmax(),
        "kept": rl.mixed(plain, kept, weight=3.0).sum(1).argmax(),
    }
    assert {name: int(chain) for name, chain in best.items()} == {
        "plain": 0, "shaped": 0, "kept": 1,
    }  # fmt: skip


def test_min_form_goes_to_the_least_score():
    scores = torch.tensor([[0.8, 0.3, 0.9, 0.1]])
    found = rl.min_form(scores, torch.tensor([3]), temperature=0.01)
    assert float(found.sum()) == pytest.approx(0.3, abs=1e-4)
    assert float(found[0, 3]) == 0  # the padding's 0.1 is not the least


@pytest.mark.parametrize("size", [1, 3, 16])
def test_equal_rewards_have_no_advantage_and_no_nan(size):
    """Not the mean's rounding over EPSILON, either, which is 0.1 with 16 chains."""
    equal, group = torch.full((size,), 0.7), torch.zeros(size, dtype=torch.long)
    steps = 1 + torch.arange(size) % 2
    assert not rl.group_relative(equal, group, steps, 2).any()
    rewards_BS = torch.full((size, 2), 0.7)
    assert not rl.process_group_relative(rewards_BS, group, steps).any()
    if size > 1:
        assert not rl.leave_one_out(rewards_BS[:, :1], group, torch.ones(size)).abs().max() > 1e-6


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_named_and_the_padding_is_not_read(bad):
    scores = torch.tensor([[0.5, bad], [0.5, 0.5]])
    assert rl.score_sum(scores, torch.tensor([1, 2])).tolist() == [[0.5, 0.0], [0.5, 0.5]]
    for way in (rl.score_sum, rl.difference, rl.min_form):
        with pytest.raises(RungError, match="the score of step 1 of chain 0 is"):
            way(scores, TWO)
    with pytest.raises(RungError, match="of token 1 of chain 0"):
        rl.implicit(scores[:1], scores[:1] * 0, torch.ones(1, 2, dtype=torch.bool))


def test_a_group_of_one_has_nobody_to_compare_with():
    with pytest.raises(RungError, match="one chain alone"):
        rl.leave_one_out(torch.ones(3, 1), torch.tensor([0, 0, 1]), torch.ones(3))


def test_a_chain_without_steps_earns_nothing():
    none = torch.tensor([0, 1])
    assert not rl.outcome_only(torch.ones(2), none, 2)[0].any()
    for way in (rl.score_sum, rl.difference, rl.min_form):
        found = way(torch.ones(2, 2), none)
        assert torch.isfinite(found).all() and not found[0].any()
