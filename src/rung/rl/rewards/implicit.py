"""Token rewards of an implicit PRM."""

from __future__ import annotations

import torch
from torch import Tensor

from rung.core.errors import RungError


def implicit(
    logprobs_BT: Tensor, reference_BT: Tensor, is_written_BT: Tensor, *, beta: float = 0.05
) -> Tensor:
    """A token earns ``beta * (log p - log p of the reference)`` under an implicit PRM, (B, T).

    PRIME (arXiv 2502.01456, equation 3; beta 0.05 as there). The model is one trained on outcomes
    alone (`rung train implicit`), not the policy that is paid.

    Args:
        logprobs_BT: Of the chain's tokens under the implicit PRM.
        reference_BT: Under its reference.
        is_written_BT: Which tokens the policy wrote; the others earn 0.
        beta: The model's.

    >>> import torch
    >>> own, reference = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-2.0, -1.0]])
    >>> implicit(own, reference, torch.tensor([[True, True]]), beta=0.5).tolist()
    [[0.5, -0.5]]

    Raises:
        RungError: A log-ratio is not a number.
    """
    rewards_BT = torch.where(is_written_BT, beta * (logprobs_BT - reference_BT), 0.0)
    bad = (~torch.isfinite(rewards_BT)).nonzero()
    if len(bad):
        chain, token = bad[0].tolist()
        raise RungError(f"the log-ratio of token {token} of chain {chain} is not a number")
    return rewards_BT
