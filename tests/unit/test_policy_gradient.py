"""The update of `rung rl`: its tokens, its gradient, its value head."""

import copy
from dataclasses import replace

import pytest
import torch

from rung.core import Chain, Problem, Sampling
from rung.generate import TransformersGenerator
from rung.generate.prompting import steps_of_tokens
from rung.model import load_causal_lm
from rung.model.tree_attention import use_tree_attention
from rung.rl.learner import Learner
from rung.rl.settings import Paying, RlTraining, Updating
from rung.rl.update import Told, batches_of, experience, joined, policy_loss, read, read_all
from rung.train.distributed import World

CPU = torch.device("cpu")
PROBLEMS = [Problem("a", "What is 3 + 4?"), Problem("b", "We add.")]


@pytest.fixture
def policy(tiny_lm):
    loaded = load_causal_lm(tiny_lm)
    torch.manual_seed(1)
    for weight in loaded.model.parameters():  # likely and unlikely tokens
        weight.data += 0.1 * torch.randn_like(weight)
    use_tree_attention(loaded.model)
    return loaded


@pytest.fixture
def written(policy):
    """Chains of a few tokens; the step separator is a letter, so that there are steps."""
    generator = TransformersGenerator(*policy, step_separator="a")
    sampling = Sampling(max_tokens=60, seed=3, logprobs=True)
    groups = generator.sample_tokens([Chain(p, ()) for p in PROBLEMS], 4, sampling)
    return [one for group in groups for one in group]


def plain_logprobs(model, one):
    """Of a chain's tokens, by transformers alone."""
    ids = torch.tensor([[*one.prompt, *one.ids]])
    plain = copy.deepcopy(model)
    plain.set_attn_implementation("eager")
    logits_TV = plain(ids).logits[0, len(one.prompt) - 1 : -1].float()
    return plain, torch.log_softmax(logits_TV, -1).gather(-1, ids[0, len(one.prompt) :, None])[:, 0]


def test_tokens_carry_their_chain_and_their_steps(written):
    assert sum(len(one.chain.steps) > 1 for one in written) > 2
    for one in written:
        assert len(one.ids) == len(one.steps) == len(one.logprobs)
        assert list(one.steps) == sorted(one.steps)
        assert one.steps[-1] == max(0, len(one.chain.steps) - 1)


def test_a_token_belongs_to_the_step_that_it_completes():
    pieces = ["x", ";", ";", "y", "y;z", "z", ""]
    assert steps_of_tokens(pieces, 3, ";") == [0, 0, 1, 1, 1, 2, 2]
    assert steps_of_tokens([" ", ""], 0, ";") == [0, 0]  # nothing was written: one blank step
    assert steps_of_tokens(["x", "y"], 2, ";") is None


def test_drawn_logprobs_are_the_models_own(policy, written):
    experiences = [experience(one) for one in written]
    told = read_all(policy.model, experiences, 64, CPU)
    for one, logprobs_K in zip(written, told, strict=True):
        _, plain_K = plain_logprobs(policy.model, one)
        assert torch.allclose(logprobs_K, torch.tensor(one.logprobs), atol=1e-4)
        assert torch.allclose(logprobs_K, plain_K, atol=1e-4)


def test_the_gradient_is_that_of_chains_one_by_one(policy, written):
    """Shared tokens get the sum of what flows back from each chain."""
    torch.manual_seed(0)
    advantages = [torch.randn(len(one.ids)) for one in written]
    expected: dict[str, torch.Tensor] = {}
    for one, advantages_K in zip(written, advantages, strict=True):
        plain, logprobs_K = plain_logprobs(policy.model, one)
        (-(logprobs_K * advantages_K).sum()).backward()
        for name, weight in plain.named_parameters():
            expected[name] = expected.get(name, 0) + weight.grad

    experiences = [experience(one) for one in written]
    told = {
        id(e.example): Told(a, e.old_K, e.old_K)
        for e, a in zip(experiences, advantages, strict=True)
    }
    bundles, batches = batches_of(experiences, 64)
    assert len(batches) > 1
    for batch in batches:
        chosen = [bundles[i] for i in batch]
        logprobs_K = read(policy.model, chosen, CPU).logprobs_K
        policy_loss(logprobs_K, joined(chosen, told, CPU), clip=0.2, kl=0.0).loss.backward()
    for name, weight in policy.model.named_parameters():
        assert torch.allclose(weight.grad, expected[name], rtol=1e-3, atol=1e-4), name


def told(advantage, old=0.0, reference=0.0):
    return Told(torch.tensor([advantage]), torch.tensor([old]), torch.tensor([reference]))


@pytest.mark.parametrize(
    ("advantage", "moved", "flows"),
    [(1.0, 0.5, False), (1.0, -0.5, True), (-1.0, 0.5, True), (-1.0, -0.5, False)],
)
def test_the_clip_stops_what_has_moved_far_enough(advantage, moved, flows):
    logprobs_K = torch.tensor([moved], requires_grad=True)
    measured = policy_loss(logprobs_K, told(advantage), clip=0.2, kl=0.0)
    measured.loss.backward()
    assert bool(logprobs_K.grad[0]) == flows
    assert measured.clipped == (not flows)


def test_the_divergences_gradient_is_that_of_kl():
    """On the policy's own draws, summed over all of them by their probability."""
    torch.manual_seed(0)
    logits_V, reference_V = torch.randn(5, requires_grad=True), torch.randn(5).log_softmax(-1)
    logprobs_V = logits_V.log_softmax(-1)
    chances_V = logprobs_V.exp()
    kl = (chances_V * (logprobs_V - reference_V)).sum()
    expected = torch.autograd.grad(kl, logits_V, retain_graph=True)[0]
    losses = [
        policy_loss(logprobs_V[k : k + 1], told(0.0, 0.0, reference_V[k].item()), clip=9, kl=1.0)
        for k in range(5)
    ]
    found = sum(
        chance * torch.autograd.grad(one.loss, logits_V, retain_graph=True)[0]
        for chance, one in zip(chances_V.tolist(), losses, strict=True)
    )
    assert torch.allclose(found, expected, atol=1e-5)


def learner(policy, **updating):
    settings = RlTraining(
        policy="", paying=Paying(baseline="gae"), updating=Updating(warmup=0, **updating)
    )
    model = policy.model
    values = torch.nn.Linear(model.config.hidden_size, 1)
    parts = {"policy": model, "value_head": values}
    return Learner.of(settings, parts, copy.deepcopy(model), World())


def test_a_value_head_learns_what_is_earned(policy, written):
    import random

    one = learner(policy, lr=1e-9)
    experiences = [experience(chain) for chain in written]
    reference = one.read_reference(experiences)
    width = max(len(e.first_of_step) for e in experiences)
    returns_BS = torch.full((len(written), width), 0.7)

    def error():
        values_BS = one.expectations(experiences, width)
        steps = [len(e.first_of_step) for e in experiences]
        return max((values_BS[b, :n] - 0.7).abs().max() for b, n in enumerate(steps))

    before, zeros_BS = error(), torch.zeros_like(returns_BS)
    questions = [e.example.question for e in experiences]
    for _ in range(150):
        one.learn(experiences, reference, zeros_BS, returns_BS, 0, questions, random.Random(0))
    assert error() < 0.3 * before


def test_where_nothing_is_to_be_learned_nothing_moves(policy, written):
    import random

    one = learner(policy, lr=0.1)
    one = replace(one, weights=torch.nn.ModuleDict({"policy": policy.model}))
    experiences = [experience(chain) for chain in written]
    reference = one.read_reference(experiences)
    zeros_BS = torch.zeros(len(written), max(len(e.first_of_step) for e in experiences))
    before = copy.deepcopy(policy.model.state_dict())
    questions = [e.example.question for e in experiences]
    moved = one.learn(experiences, reference, zeros_BS, zeros_BS, 0, questions, random.Random(0))
    assert moved.gradient_norm == 0
    assert all(torch.equal(before[name], w) for name, w in policy.model.state_dict().items())
