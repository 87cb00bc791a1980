"""Outcome reward: the baseline."""

from __future__ import annotations

from torch import Tensor

from rung.rl.steps import at_end, real


def outcome_only(outcomes_B: Tensor, num_steps_B: Tensor, width: int) -> Tensor:
    """The last step earns the outcome, the others nothing.

    Args:
        outcomes_B: 1.0 for a right final answer, 0.0 for a wrong one; or any number.
        num_steps_B: Steps of each chain; one without steps earns nothing.
        width: S.

    >>> import torch
    >>> outcome_only(torch.tensor([1.0, 0.0]), torch.tensor([2, 3]), 3).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]

    Raises:
        RungError: An outcome is not a number.
    """
    return real(at_end(outcomes_B, num_steps_B, width), num_steps_B, "the outcome")
