"""The reward model: a decoder trunk with one scalar head. PRM and ORM are the same model.

Shape letters: T tokens of a packed row, D width, K rows that are read.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rung.model.packing import TreeBatch
from rung.model.tree_attention import use_tree_attention

HEAD_SCALE = 0.02
"""Standard deviation of a new head's weights, as in GPT-2 (initializer_range)."""


class RewardModel(nn.Module):
    """Trunk and ``Linear(D, 1)``: a logit a token, of which those at step ends are read.

    It runs on packed token trees (`rung.model.packing`). A head that was neither loaded nor reset
    holds zeros, so every score is 0.5.

    Raises:
        RungError: The trunk's architecture can't run on token trees.
    """

    def __init__(self, trunk: Any) -> None:
        super().__init__()
        use_tree_attention(trunk)
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

    def features(self, batch: TreeBatch) -> Float[Tensor, "T D"]:
        """The trunk's last hidden states of a packed row."""
        return self.trunk(**batch.inputs).last_hidden_state[0]

    def forward(self, batch: TreeBatch, rows_K: Int[Tensor, " K"]) -> Float[Tensor, " K"]:
        """The logits at the rows that are read, with the head run only there."""
        return self.score(self.features(batch)[rows_K]).squeeze(-1).float()
