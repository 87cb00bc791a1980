"""Progress under a prover."""

from __future__ import annotations

import torch
from torch import Tensor

from rung.rl.steps import before, is_step, real


def process_advantage(values_BS: Tensor, start_B: Tensor, num_steps_B: Tensor) -> Tensor:
    """A step earns by how much it raises a prover's chance of finishing rightly.

    Process advantage verifiers (arXiv 2410.08146, equation 2): A(s, a) = Q(s, a) - V(s), with Q
    and V the prover's. Moves are deterministic, so Q(s, a) is V of the longer prefix, and scores
    of a PRM trained on the prover's rollouts are both. The paper adds it to the outcome with a
    weight (its equation 5): `mixed`. Unlike `difference`, the rise stays paid at the end, so the
    optimal policy may change; the paper's theorem says for which provers that helps.

    Args:
        values_BS: The prover's chance of a right answer behind each step.
        start_B: Its chance from the question alone.
        num_steps_B: Steps of each chain.

    >>> import torch
    >>> process_advantage(
    ...     torch.tensor([[0.75, 0.25]]), torch.tensor([0.5]), torch.tensor([2])
    ... ).tolist()
    [[0.25, -0.5]]

    Raises:
        RungError: A value is not a number.
    """
    values_BS = real(values_BS, num_steps_B, "the value")
    mask_BS = is_step(num_steps_B, values_BS.shape[1])
    return torch.where(mask_BS, values_BS - before(values_BS, start_B), 0.0)
