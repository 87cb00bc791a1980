import math

import pytest
import torch
from torch.nn import functional as F

from rung.train.losses import (
    STEP_LOSSES,
    binary_cross_entropy,
    class_cross_entropy,
    class_targets,
    comparative_ranking,
    constant_loss,
    forward_corrected,
    implicit_cross_entropy,
    implicit_preference,
    squared_error,
    token_cross_entropy,
)
from rung.train.settings import Method

LOGITS = torch.tensor([0.0, 2.0, -1.5])
LABELS = torch.tensor([1.0, 0.25, 0.0])
LOGITS_OF = {"bce": LOGITS, "mse": LOGITS, "ce": torch.stack([LOGITS, LOGITS.flip(0)], -1)}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_cross_entropy_is_the_hand_computed_sum():
    by_hand = sum(
        -y * math.log(sigmoid(x)) - (1 - y) * math.log(1 - sigmoid(x))
        for x, y in zip(LOGITS.tolist(), LABELS.tolist(), strict=True)
    )
    assert binary_cross_entropy(LOGITS, LABELS).item() == pytest.approx(by_hand, rel=1e-6)


def test_squared_error_is_the_hand_computed_sum():
    by_hand = sum(
        (sigmoid(x) - y) ** 2 for x, y in zip(LOGITS.tolist(), LABELS.tolist(), strict=True)
    )
    assert squared_error(LOGITS, LABELS).item() == pytest.approx(by_hand, rel=1e-6)


def test_token_cross_entropy_is_minus_the_log_probability():
    logits_KV = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]])
    ids_K = torch.tensor([1, 0])
    by_hand = -F.log_softmax(logits_KV, -1)[torch.arange(2), ids_K].sum()
    assert token_cross_entropy(logits_KV, ids_K).item() == pytest.approx(by_hand.item())


def test_two_classes_with_a_zero_for_wrong_are_the_cross_entropy_of_one_logit():
    logits_KC = torch.stack([torch.zeros(3), LOGITS], -1)
    expected = binary_cross_entropy(LOGITS, LABELS).item()
    assert class_cross_entropy(logits_KC, LABELS).item() == pytest.approx(expected, rel=1e-6)


def test_three_classes_are_the_hand_computed_sum():
    logits_KC = torch.tensor([[0.0, 1.0, 2.0], [0.5, -0.5, 0.0]])
    labels = torch.tensor([0.75, 0.0])  # half neutral and half right; wrong
    first, second = (row.exp() / row.exp().sum() for row in logits_KC)
    by_hand = -0.5 * math.log(first[1]) - 0.5 * math.log(first[2]) - math.log(second[0])
    assert class_cross_entropy(logits_KC, labels).item() == pytest.approx(by_hand, rel=1e-6)


def test_a_label_becomes_the_mixture_of_neighboring_classes_whose_mean_it_is():
    labels = torch.tensor([0.0, 0.25, 0.5, 0.7, 1.0])
    assert class_targets(labels, 2).tolist() == [pytest.approx([1 - y, y]) for y in labels.tolist()]
    three = [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.6, 0.4], [0, 0, 1]]
    assert class_targets(labels, 3).tolist() == [pytest.approx(row, abs=1e-6) for row in three]


def test_the_comparative_loss_is_the_hand_computed_sum():
    # right, wrong, right with margin 1: Q_1 = 1, Q_w = -1, Q_2 = 2
    logits, labels = torch.tensor([1.0, -1.0, 2.0]), torch.tensor([1.0, 0.0, 0.6])
    wrong = math.exp(-1 + 1)
    terms = [
        -math.log(1 / (1 + wrong)),
        -math.log(math.exp(1) / (1 + math.exp(1) + wrong)),
        -math.log(math.exp(2) / (1 + math.exp(1) + math.exp(2) + wrong)),
    ]
    one_chain = comparative_ranking(logits, labels, torch.zeros(3, dtype=torch.long), margin=1.0)
    assert one_chain.item() == pytest.approx(3 * sum(terms) / 3, rel=1e-6)


def test_alone_a_step_is_compared_with_the_question():
    right = comparative_ranking(LOGITS[1:2], torch.ones(1), torch.zeros(1).long(), margin=4.0)
    assert right.item() == pytest.approx(-math.log(sigmoid(2.0)), rel=1e-6)
    wrong = comparative_ranking(LOGITS[2:], torch.zeros(1), torch.zeros(1).long(), margin=4.0)
    assert wrong.item() == pytest.approx(-math.log(1 - sigmoid(-1.5 + 4)), rel=1e-6)


def literal_ranking(rewards: list[float], is_right: list[bool], zeta: float) -> float:
    """The paper's equation, written out with exp and plain loops."""
    against = sum(math.exp(q + zeta) for q, good in zip(rewards, is_right, strict=True) if not good)
    ladder = [0.0, *(q for q, good in zip(rewards, is_right, strict=True) if good)]
    losses = []
    for t, q_t in enumerate(ladder):
        if t == 0 and against == 0:
            continue
        below = sum(math.exp(q) for q in ladder[: t + 1])
        losses.append(-math.log(math.exp(q_t) / (below + against)))
    return sum(losses) / len(losses)


def test_the_comparative_loss_is_the_papers_equation_chain_by_chain():
    generator = torch.Generator().manual_seed(0)
    lengths = [1, 5, 3, 8, 2]
    chains = torch.repeat_interleave(torch.arange(5), torch.tensor(lengths))
    logits = torch.randn(len(chains), generator=generator) * 3
    labels = (torch.rand(len(chains), generator=generator) < 0.5).float()
    expected = sum(
        literal_ranking(logits[chains == k].tolist(), (labels[chains == k] > 0).tolist(), zeta=2.0)
        * lengths[k]
        for k in range(5)
    )
    found = comparative_ranking(logits, labels, chains, margin=2.0)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_comparative_loss_has_gradients_for_all_right_all_wrong_and_large_values():
    logits = torch.tensor([3.0, 90.0, -90.0, 1.0], requires_grad=True)
    labels, chains = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([0, 0, 1, 1])
    comparative_ranking(logits, labels, chains, margin=4.0).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[0] < 0 or logits.grad[1] < 0
    assert (logits.grad[2:] >= 0).all()


RATIOS = torch.tensor([0.5, 1.0, -2.0, 3.0, 0.25])
OF_CHAIN = torch.tensor([0, 0, 1, 2, 2])


def test_the_implicit_loss_is_the_hand_computed_cross_entropy_of_summed_ratios():
    outcomes = torch.tensor([1.0, 0.0, 0.25])
    rewards = [0.1 * 1.5, 0.1 * -2.0, 0.1 * 3.25]
    by_hand = sum(
        -y * math.log(sigmoid(r)) - (1 - y) * math.log(1 - sigmoid(r))
        for r, y in zip(rewards, outcomes.tolist(), strict=True)
    )
    found = implicit_cross_entropy(RATIOS, OF_CHAIN, outcomes, coefficient=0.1)
    assert found.item() == pytest.approx(by_hand, rel=1e-6)


def test_the_preference_loss_is_the_hand_computed_mean_over_pairs():
    outcomes, questions = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([7, 7, 7])
    pairs = [-math.log(sigmoid(0.1 * (1.5 + 2.0))), -math.log(sigmoid(0.1 * (3.25 + 2.0)))]
    found = implicit_preference(RATIOS, OF_CHAIN, outcomes, questions, coefficient=0.1)
    assert found.item() == pytest.approx(3 * sum(pairs) / 2, rel=1e-6)


def test_implicit_losses_are_the_papers_token_by_token():
    """Written out from log-probabilities of two models, chain by chain, with plain loops."""
    generator = torch.Generator().manual_seed(1)
    lengths, outcomes, questions = [4, 1, 6, 3, 2], [1, 0, 0, 1, 0], [0, 0, 0, 1, 2]
    chains = torch.repeat_interleave(torch.arange(5), torch.tensor(lengths))
    policy, reference = -torch.rand(2, len(chains), generator=generator) * 5
    reward = [0.0] * 5
    for chain, ours, theirs in zip(
        chains.tolist(), policy.tolist(), reference.tolist(), strict=True
    ):
        reward[chain] += 0.3 * (ours - theirs)
    entropy = sum(
        -math.log(sigmoid(r) if y else 1 - sigmoid(r))
        for r, y in zip(reward, outcomes, strict=True)
    )
    ratios, labels = policy - reference, torch.tensor(outcomes).float()
    found = implicit_cross_entropy(ratios, chains, labels, coefficient=0.3)
    assert found.item() == pytest.approx(entropy, rel=1e-5)
    pairs = [-math.log(sigmoid(reward[0] - reward[k])) for k in (1, 2)]
    found = implicit_preference(ratios, chains, labels, torch.tensor(questions), coefficient=0.3)
    assert found.item() == pytest.approx(3 * sum(pairs) / 2, rel=1e-5)


def test_a_batch_without_a_pair_has_no_preference_and_a_gradient_of_zero():
    ratios = RATIOS.clone().requires_grad_()
    outcomes, questions = torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0, 0, 1])
    loss = implicit_preference(ratios, OF_CHAIN, outcomes, questions, coefficient=0.1)
    loss.backward()
    assert (loss.item(), ratios.grad.abs().max().item()) == (0.0, 0.0)


@pytest.mark.parametrize("name", ["bce", "mse"])
def test_a_soft_label_is_where_its_loss_is_lowest(name):
    logit = torch.tensor([-2.0], requires_grad=True)
    for _ in range(400):
        (gradient,) = torch.autograd.grad(STEP_LOSSES[name](logit, torch.tensor([0.7])), logit)
        logit = (logit - 2.0 * gradient).detach().requires_grad_()
    assert torch.sigmoid(logit).item() == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_soft_label_is_the_mean_worth_where_the_class_loss_is_lowest(num_classes):
    logits = torch.zeros(1, num_classes, requires_grad=True)
    for _ in range(1000):
        loss = class_cross_entropy(logits, torch.tensor([0.7]))
        (gradient,) = torch.autograd.grad(loss, logits)
        logits = (logits - 2.0 * gradient).detach().requires_grad_()
    worth = logits.softmax(-1) @ torch.linspace(0, 1, num_classes)
    assert worth.item() == pytest.approx(0.7, abs=2e-3)


@pytest.mark.parametrize("name", STEP_LOSSES)
def test_losses_are_sums_so_parts_add_up_to_the_whole(name):
    loss, logits = STEP_LOSSES[name], LOGITS_OF[name]
    parts = loss(logits[:1], LABELS[:1]) + loss(logits[1:], LABELS[1:])
    assert parts.item() == pytest.approx(loss(logits, LABELS).item())


@pytest.mark.parametrize(
    "method",
    [
        Method(),
        Method(loss="mse"),
        *(Method(head=head) for head in ("2-class", "3-class", "tokens")),
    ],
)
def test_the_constant_loss_is_the_least_that_one_number_for_all_can_lose(method):
    labels = torch.tensor([1.0, 0.25, 0.0, 1.0, 0.5])
    num_logits = {"scalar": 1, "3-class": 3}.get(method.head, 2)
    logits = torch.zeros(num_logits, requires_grad=True)
    for _ in range(400):
        alike = logits.expand(len(labels), -1)
        given = alike[:, 0] if num_logits == 1 else alike
        loss = STEP_LOSSES[method.step_loss](given, labels) / len(labels)
        (gradient,) = torch.autograd.grad(loss, logits)
        logits = (logits - 2.0 * gradient).detach().requires_grad_()
    assert constant_loss(method, labels.tolist()) == pytest.approx(loss.item(), abs=1e-4)


def test_no_constant_loss_where_steps_are_compared_or_nothing_can_be_told_apart():
    assert constant_loss(Method(loss="pqm"), [0.0, 1.0]) is None
    assert constant_loss(Method(), [1.0, 1.0]) is None
    assert constant_loss(Method(), []) is None


CONFUSION = torch.tensor([[0.35, 0.9], [0.1, 0.6], [0.0, 1.0]])


def test_forward_correction_is_the_cross_entropy_of_the_noisy_label():
    by_hand = 0.0
    for x, y, (a, b) in zip(LOGITS.tolist(), LABELS.tolist(), CONFUSION.tolist(), strict=True):
        q = a * (1 - sigmoid(x)) + b * sigmoid(x)
        by_hand += -y * math.log(q) - (1 - y) * math.log(1 - q)
    assert forward_corrected(LOGITS, LABELS, CONFUSION).item() == pytest.approx(by_hand, rel=1e-6)


def test_forward_corrections_gradient_is_the_derived_one():
    logits_K = LOGITS.clone().requires_grad_()
    forward_corrected(logits_K, LABELS, CONFUSION).backward()
    for k, (x, y) in enumerate(zip(LOGITS.tolist(), LABELS.tolist(), strict=True)):
        a, b = CONFUSION[k].tolist()
        s = sigmoid(x)
        q = a + (b - a) * s
        by_hand = (q - y) / (q * (1 - q)) * (b - a) * s * (1 - s)
        assert logits_K.grad is not None
        assert logits_K.grad[k].item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("size", [1.0, 40.0])
def test_forward_correction_of_labels_that_never_err_is_the_plain_loss(size: float):
    never = torch.tensor([0.0, 1.0], dtype=torch.float64).expand(3, 2)
    for plain, logits in (
        (binary_cross_entropy, LOGITS_OF["bce"]),
        (class_cross_entropy, LOGITS_OF["ce"]),
    ):
        logits, labels_K = (size * logits).double().requires_grad_(), LABELS.double()
        found, expected = forward_corrected(logits, labels_K, never), plain(logits, labels_K)
        assert found.item() == pytest.approx(expected.item(), rel=1e-12)
        [gradient], [wanted] = (torch.autograd.grad(loss, logits) for loss in (found, expected))
        assert torch.allclose(gradient, wanted, rtol=1e-9, atol=1e-12)


def test_forward_correction_finds_the_clean_probability_under_known_flips():
    rng = torch.Generator().manual_seed(0)
    clean, a, b, num = torch.tensor([0.2, 0.5, 0.9]), 0.35, 0.88, 20_000
    is_right = torch.rand(num, 3, generator=rng) < clean
    says_right = torch.rand(num, 3, generator=rng) < torch.where(is_right, b, a)
    shares_K, confusion_K2 = says_right.float().mean(dim=0), torch.tensor([a, b]).expand(3, 2)

    def fitted(loss) -> torch.Tensor:
        logits_K = torch.zeros(3, requires_grad=True)
        optimizer = torch.optim.LBFGS([logits_K], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            value = loss(logits_K)
            value.backward()
            return value

        optimizer.step(closure)
        return logits_K.detach().sigmoid()

    corrected = fitted(lambda x: forward_corrected(x, shares_K, confusion_K2))
    plain = fitted(lambda x: binary_cross_entropy(x, shares_K))
    assert (corrected - clean).abs().max() < 0.04
    assert (plain - clean).abs().max() > 0.2
