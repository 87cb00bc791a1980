"""What a row of ``metrics.jsonl`` says of a round. B chains, S steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from rung.core.types import Verdict
from rung.rl.learner import Moved
from rung.rl.rounds import Round

LEAST = 1e-6
"""An advantage that is nearer to 0 is rounding."""


def settled(advantages_BS: Tensor, group_B: Tensor) -> int:
    """Problems that nothing is to be learned from: the advantages of all their steps are 0.

    >>> import torch
    >>> settled(torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]), torch.tensor([7, 8, 8]))
    1
    """
    learning_B = (advantages_BS.abs() > LEAST).any(1)
    return len(group_B.unique()) - len(group_B[learning_B].unique())


def round_row(
    played: Round,
    advantages_BS: Tensor,
    moved: Moved,
    kl: float,
    total: Callable[[float], float],
) -> dict[str, Any]:
    """Means and counts of a round's chains, of all processes together (docs/guides/rl.md).

    Args:
        played: What this process wrote and paid.
        advantages_BS: Of its steps.
        moved: What the updates did.
        kl: Nats from the reference, summed over this process's chains.
        total: The sum of a number over all processes.
    """
    chains, tokens = total(len(played.written)), total(played.num_tokens)
    logprob = total(sum(sum(one.logprobs) for one in played.written))
    return {
        "reward": total(float(played.paid.process_BS.sum())) / chains,
        "outcome": total(float(played.found.outcomes_B.sum())) / chains,
        "kl": total(kl) / chains,
        "entropy": -logprob / tokens,
        "chain_tokens": tokens / chains,
        "chain_steps": total(float(played.found.num_steps_B.sum())) / chains,
        "settled_problems": int(total(settled(advantages_BS, played.found.group_B))),
        "unscored_steps": int(total(played.unscored)),
        "timeouts": int(total(played.verdicts.count(Verdict.TIMEOUT))),
        "cut_off": int(total(played.cut_off)),
        "loss": moved.loss,
        "gradient_norm": moved.gradient_norm,
        "clipped": moved.clipped,
    }
