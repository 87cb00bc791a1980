"""What reward-hub lets transformers run for Qwen2.5-Math-PRM: Qwen2 and a head of two labels.

The published model brings such a file; this one is ours and goes into the benchmark's own folder.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import Qwen2Model, Qwen2PreTrainedModel


class Qwen2ForProcessRewardModel(Qwen2PreTrainedModel):
    """Two logits a token: wrong, right."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.model = Qwen2Model(config)
        self.score = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, use_cache: bool = False
    ) -> tuple[Tensor]:
        """Logits (B, T, 2), in a tuple as reward-hub takes them."""
        out = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache)
        return (self.score(out.last_hidden_state),)
