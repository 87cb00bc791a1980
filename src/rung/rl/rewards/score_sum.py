"""Each step earns its score."""

from __future__ import annotations

from torch import Tensor

from rung.rl.steps import real


def score_sum(scores_BS: Tensor, num_steps_B: Tensor) -> Tensor:
    """The return of a chain is the sum of its scores (process-based RL, arXiv 2211.14275).

    It pays for length: a policy learns to write many harmless steps. PURE (arXiv 2504.15275,
    section 4.3) saw training collapse with it. It is here to be compared with.

    >>> import torch
    >>> score_sum(torch.tensor([[0.5, 0.25, 9.0]]), torch.tensor([2])).tolist()
    [[0.5, 0.25, 0.0]]

    Raises:
        RungError: A score is not a number.
    """
    return real(scores_BS, num_steps_B, "the score")
