import math

import pytest
import torch
from torch.nn import functional as F

from rung.train.losses import STEP_LOSSES, binary_cross_entropy, squared_error, token_cross_entropy

LOGITS = torch.tensor([0.0, 2.0, -1.5])
LABELS = torch.tensor([1.0, 0.25, 0.0])


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


@pytest.mark.parametrize("name", STEP_LOSSES)
def test_a_soft_label_is_where_its_loss_is_lowest(name):
    logit = torch.tensor([-2.0], requires_grad=True)
    for _ in range(400):
        (gradient,) = torch.autograd.grad(STEP_LOSSES[name](logit, torch.tensor([0.7])), logit)
        logit = (logit - 2.0 * gradient).detach().requires_grad_()
    assert torch.sigmoid(logit).item() == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("name", STEP_LOSSES)
def test_losses_are_sums_so_parts_add_up_to_the_whole(name):
    loss = STEP_LOSSES[name]
    parts = loss(LOGITS[:1], LABELS[:1]) + loss(LOGITS[1:], LABELS[1:])
    assert parts.item() == pytest.approx(loss(LOGITS, LABELS).item())
