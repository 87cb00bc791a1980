"""Step advantages to token advantages."""

from __future__ import annotations

import torch
from torch import Tensor


def spread_over_tokens(advantages_BS: Tensor, step_of_BT: Tensor) -> Tensor:
    """Every token of a step has the step's advantage; (B, S) becomes (B, T).

    The step is the action; its log-probability is the sum over its tokens, so each token's term of
    the policy gradient has the whole advantage, undivided by the step's length.

    Args:
        advantages_BS: Of the steps.
        step_of_BT: Which step each token belongs to; -1 for the question and for padding.

    >>> import torch
    >>> spread_over_tokens(torch.tensor([[1.0, -2.0]]), torch.tensor([[-1, 0, 0, 1, -1]])).tolist()
    [[0.0, 1.0, 1.0, -2.0, 0.0]]
    """
    found_BT = advantages_BS.gather(1, step_of_BT.clamp(min=0))
    return torch.where(step_of_BT >= 0, found_BT, 0.0)
