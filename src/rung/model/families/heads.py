"""The heads of published reward models: layers by the names of their weights, then a reading.

K is the number of positions that are read, D the trunk's width, L the number of labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rung.core.errors import InputError
from rung.model.foreign import Weights


class Head(nn.Module):
    """Layers that give a row of logits a position, and what makes a score of the row.

    Args:
        layers: States (K, D) to logits (K, L).
        read: Logits (K, L) to scores (K,).
    """

    def __init__(self, layers: nn.Module, read: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers = layers
        self.read = read

    def forward(self, states_KD: Tensor) -> Tensor:
        """Scores (K,) of states (K, D)."""
        return self.read(self.logits(states_KD))

    def logits(self, states_KD: Tensor) -> Tensor:
        """Logits (K, L) of states (K, D)."""
        return self.layers(states_KD)


def linear(weights: Weights, name: str, *, num_outputs: int) -> nn.Linear:
    """The layer whose weights are `name`.weight and, where it has one, `name`.bias.

    Raises:
        InputError: The weight is not there, or has another number of outputs.
    """
    weight = weights[f"{name}.weight"]
    if weight.dim() != 2 or weight.shape[0] != num_outputs:
        reason = f"{name}.weight has shape {tuple(weight.shape)}, expected {num_outputs} rows"
        raise InputError(reason, file=str(weights.folder))
    bias = weights.get(f"{name}.bias")
    return linear_of(weight, bias)


def linear_of(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A layer in fp32 that holds these weights, (outputs, inputs) and (outputs,)."""
    outputs, inputs = weight.shape
    layer: Any = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias is not None)
    state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    layer.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return layer


def two_layers(weights: Weights, name: str, *, num_outputs: int) -> nn.Sequential:
    """Linear, ReLU, Linear: the layers `name`.0 and `name`.2 of Qwen's reward models.

    Raises:
        InputError: A weight is not there, or the number of outputs is another.
    """
    width = weights[f"{name}.0.weight"].shape[0]
    first = linear(weights, f"{name}.0", num_outputs=width)
    return nn.Sequential(first, nn.ReLU(), linear(weights, f"{name}.2", num_outputs=num_outputs))


def sigmoid(logits_KL: Tensor) -> Tensor:
    """The probability that one logit stands for."""
    return torch.sigmoid(logits_KL.squeeze(-1))


def right_of_two(logits_KL: Tensor) -> Tensor:
    """P(label 1) of the labels 0, wrong, and 1, right."""
    return torch.softmax(logits_KL, -1)[:, 1]


def all_but_first(logits_KL: Tensor) -> Tensor:
    """The softmax mass of all labels but the first, which is "wrong"."""
    # as a sigmoid: a sum of softmax's parts can pass 1 by rounding
    return torch.sigmoid(logits_KL[:, 1:].logsumexp(-1) - logits_KL[:, 0])
