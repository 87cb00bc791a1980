"""Outcome and process together."""

from __future__ import annotations

from torch import Tensor


def mixed(outcome_BS: Tensor, process_BS: Tensor, *, weight: float) -> Tensor:
    """``outcome + weight * process``: rewards of two ways, each (B, S) or each (B, T).

    >>> import torch
    >>> mixed(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, -0.5]]), weight=2.0).tolist()
    [[1.0, 0.0]]
    """
    return outcome_BS + weight * process_BS
