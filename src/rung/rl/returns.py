"""Rewards to returns."""

from __future__ import annotations

import torch
from torch import Tensor


def returns_to_go(rewards_BS: Tensor, *, discount: float = 1.0) -> Tensor:
    """What is earned from each step on: ``G_t = r_t + discount * G_{t+1}``.

    Rewards are 0 in the padding, and so are the returns. Tokens will do as well as steps.

    >>> import torch
    >>> returns_to_go(torch.tensor([[1.0, 0.0, 4.0]]), discount=0.5).tolist()
    [[2.0, 2.0, 4.0]]
    """
    following_B = torch.zeros_like(rewards_BS[:, 0])
    found: list[Tensor] = []
    for reward_B in rewards_BS.flip(1).unbind(1):
        following_B = reward_B + discount * following_B
        found.append(following_B)
    return torch.stack(found[::-1], 1)
