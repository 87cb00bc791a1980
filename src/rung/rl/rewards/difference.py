"""Potential-based shaping by scores."""

from __future__ import annotations

import torch
from torch import Tensor

from rung.rl.steps import at_end, before, is_step, real


def difference(
    scores_BS: Tensor, num_steps_B: Tensor, *, start_B: Tensor | None = None, discount: float = 1.0
) -> Tensor:
    """A step earns ``discount * score - score of the prefix before it``; the end's score counts 0.

    This is F(s, s') = discount * phi(s') - phi(s) of Ng, Harada and Russell (ICML 1999, theorem
    1) with the score for phi and phi(end) = 0. Added to any reward it leaves the optimal policy
    unchanged, whatever the scores are: the sum over a chain is ``-phi(question)``. What it changes
    is how soon a step's worth is seen. Rises of a score that are not taken back at the end
    (`process_advantage`) do change what is optimal.

    Args:
        scores_BS: phi of the prefix that ends with each step.
        num_steps_B: Steps of each chain.
        start_B: phi of the question alone; 0 by default.
        discount: That of the returns.

    >>> import torch
    >>> difference(torch.tensor([[0.5, 0.75, 1.0]]), torch.tensor([3])).tolist()
    [[0.5, 0.25, -0.75]]

    Raises:
        RungError: A score is not a number.
    """
    scores_BS = real(scores_BS, num_steps_B, "the score")
    start_B = torch.zeros_like(scores_BS[:, 0]) if start_B is None else start_B
    width = scores_BS.shape[1]
    last_B = scores_BS.gather(1, (num_steps_B - 1).clamp(min=0)[:, None])[:, 0]
    phi_BS = scores_BS - at_end(last_B, num_steps_B, width)
    rewards_BS = discount * phi_BS - before(scores_BS, start_B)
    return torch.where(is_step(num_steps_B, width), rewards_BS, 0.0)
