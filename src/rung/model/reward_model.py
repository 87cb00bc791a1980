"""The reward model: a decoder trunk with one scalar head. PRM and ORM are the same model.

Shape letters: B chains in a batch, T tokens, D width, K read positions of a whole batch.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

HEAD_SCALE = 0.02
"""Standard deviation of a new head's weights, as in GPT-2 (initializer_range)."""


class RewardModel(nn.Module):
    """Trunk and ``Linear(D, 1)``: a logit a token, of which those at step ends are read.

    Attention is causal and batches are padded on the right, so no real token sees padding and
    no mask is needed: without one, attention takes its fastest path. A head that was neither
    loaded nor reset holds zeros, so every score is 0.5.
    """

    def __init__(self, trunk: Any) -> None:
        super().__init__()
        self.trunk = trunk
        width = trunk.config.get_text_config().hidden_size
        head: Any = nn.utils.skip_init(nn.Linear, width, 1, dtype=trunk.dtype, device=trunk.device)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        self.score: nn.Linear = head

    def reset_head(self, seed: int) -> None:
        """Give the head new weights, whatever it held: normal, with a bias of 0."""
        fresh = torch.empty(self.score.weight.shape)
        nn.init.normal_(fresh, std=HEAD_SCALE, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            self.score.weight.copy_(fresh)
            self.score.bias.zero_()

    def features(self, ids_BT: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """The trunk's last hidden states."""
        return self.trunk(input_ids=ids_BT, use_cache=False).last_hidden_state

    def forward(self, ids_BT: Int[Tensor, "B T"]) -> Float[Tensor, "B T"]:
        """A logit for every token."""
        return self.score(self.features(ids_BT)).squeeze(-1).float()

    def logits_at(
        self, ids_BT: Int[Tensor, "B T"], rows_K: Int[Tensor, " K"], cols_K: Int[Tensor, " K"]
    ) -> Float[Tensor, " K"]:
        """The logits at the K positions (rows_K, cols_K), with the head run only there."""
        return self.score(self.features(ids_BT)[rows_K, cols_K]).squeeze(-1).float()
