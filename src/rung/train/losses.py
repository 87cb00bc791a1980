"""Losses: pure functions from logits and targets to a sum over the targets.

Shape letters: K targets of a batch, V vocabulary. Sums, not means: the loop divides by the
number of targets of a whole optimizer step, so that every step of every chain weighs the same
however the chains were cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def binary_cross_entropy(
    logits_K: Float[Tensor, " K"], labels_K: Float[Tensor, " K"]
) -> Float[Tensor, ""]:
    """Sum of -y log s - (1 - y) log(1 - s), s = sigmoid(logit).

    Math-Shepherd (arXiv 2312.08935), equation 3. A soft label y in [0, 1] stays a float.
    """
    return F.binary_cross_entropy_with_logits(logits_K, labels_K, reduction="sum")


def squared_error(
    logits_K: Float[Tensor, " K"], labels_K: Float[Tensor, " K"]
) -> Float[Tensor, ""]:
    """Sum of (sigmoid(logit) - y)^2: regression onto a soft label."""
    return (torch.sigmoid(logits_K) - labels_K).square().sum()


def token_cross_entropy(
    logits_KV: Float[Tensor, "K V"], ids_K: Int[Tensor, " K"]
) -> Float[Tensor, ""]:
    """Sum of -log P(token): next-token prediction."""
    return F.cross_entropy(logits_KV, ids_K, reduction="sum")


STEP_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": binary_cross_entropy,
    "mse": squared_error,
}
"""A step loss by its name."""
