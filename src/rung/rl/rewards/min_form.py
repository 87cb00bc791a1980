"""Credit by the weakest step."""

from __future__ import annotations

import torch
from torch import Tensor

from rung.rl.steps import is_step, real


def min_form(
    scores_BS: Tensor,
    num_steps_B: Tensor,
    *,
    temperature: float = 0.1,
    scored_BS: Tensor | None = None,
) -> Tensor:
    """A step earns its score, weighed by how near it is to the chain's least.

    PURE (arXiv 2504.15275, equation 5): ``r* = softmax(-r / temperature) * r`` over the steps of a
    chain. The sum of a chain goes to its least score as the temperature goes to 0, so that the
    usual sum of rewards becomes credit by the minimum. PURE feeds it scores in [-1, 1]
    (p1 - p0); any scores will do here.

    A step's weight depends on the steps behind it. Returns from a step on leave out what that step
    does to the pay of earlier ones; compared by whole chains (`group_relative`)
    the expected gradient is that of the sum.

    Args:
        scores_BS: Of the steps.
        num_steps_B: Steps of each chain.
        temperature: How near the weights are to the least score alone.
        scored_BS: Which steps have a score; the others earn nothing and are not the least. All
            have one by default.

    >>> import torch
    >>> min_form(torch.tensor([[0.9, -0.5, 0.9]]), torch.tensor([3])).round(decimals=3).tolist()
    [[0.0, -0.5, 0.0]]

    Raises:
        RungError: A score is not a number.
    """
    mask_BS = is_step(num_steps_B, scores_BS.shape[1])
    if scored_BS is not None:
        mask_BS = mask_BS & scored_BS
        scores_BS = torch.where(mask_BS, scores_BS, 0.0)
    scores_BS = real(scores_BS, num_steps_B, "the score")
    weights_BS = torch.softmax((-scores_BS / temperature).masked_fill(~mask_BS, -torch.inf), 1)
    return torch.where(mask_BS, weights_BS * scores_BS, 0.0)
