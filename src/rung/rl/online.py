"""An implicit PRM that learns from the outcomes of each round, and then pays for it: PRIME.

B chains, K tokens, S steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rung.rl.pay import Judged
from rung.rl.settings import Online
from rung.rl.update import Experience, batches_of, read, read_all
from rung.train.losses import implicit_cross_entropy


class OnlinePrm:
    """PRIME (arXiv 2502.01456): the PRM starts as the policy did and learns outcomes alone.

    A step earns `coefficient` times the sum of its tokens' log-ratios between the PRM and the
    reference, which stays as it was. The paper pays token by token; here a step's tokens are paid
    together, since the step is the action. Its filter of problems that are always or never solved
    is not here: they teach the policy nothing, and the PRM what a round looks like.

    Args:
        model: The PRM, a causal LM.
        how: Its learning rate and coefficient.
        batch_tokens: Of a forward pass.
        device: Where the model is.
    """

    def __init__(self, model: Any, how: Online, batch_tokens: int, device: torch.device) -> None:
        self._model, self._how = model, how
        self._batch_tokens, self._device = batch_tokens, device

    def backward(
        self,
        experiences: Sequence[Experience],
        reference: Sequence[Tensor],
        found: Judged,
        count: float,
    ) -> float:
        """Put the gradient of the outcomes' cross entropy, over `count`, into the model.

        Gives the loss, over `count` too.
        """
        told = {id(e.example): k for k, e in enumerate(experiences)}
        total = 0.0
        bundles, batches = batches_of(experiences, self._batch_tokens)
        for batch in batches:
            chosen = [bundles[i] for i in batch]
            order = [told[id(e)] for bundle in chosen for e in bundle.examples]
            reference_K = torch.cat([reference[k] for k in order]).to(self._device)
            sizes = torch.tensor([len(reference[k]) for k in order])
            chains_K = torch.repeat_interleave(torch.arange(len(order)), sizes).to(self._device)
            ratios_K = read(self._model, chosen, self._device).logprobs_K - reference_K
            loss = implicit_cross_entropy(
                ratios_K,
                chains_K,
                found.outcomes_B[order].to(self._device),
                coefficient=self._how.coefficient,
            )
            (loss / count).backward()
            total += loss.item()
        return total / count

    def num_tokens(self, experiences: Sequence[Experience]) -> int:
        """Distinct tokens that `step_rewards` puts through the model."""
        bundles, _ = batches_of(experiences, self._batch_tokens)
        return sum(bundle.num_tokens for bundle in bundles)

    def step_rewards(
        self, experiences: Sequence[Experience], reference: Sequence[Tensor], width: int
    ) -> Tensor:
        """What the steps earn (B, S)."""
        told = read_all(self._model, experiences, self._batch_tokens, self._device)
        rewards_BS = torch.zeros(len(experiences), width)
        for b, (one, own_K, reference_K) in enumerate(
            zip(experiences, told, reference, strict=True)
        ):
            ratios_K = self._how.coefficient * (own_K - reference_K)
            rewards_BS[b].index_add_(0, one.step_of_K, ratios_K)
        return rewards_BS
