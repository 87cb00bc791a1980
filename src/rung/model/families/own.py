"""Checkpoints of `rung train prm` and `rung train orm`: ``rung.json`` says how they are read.

The ids are BOS (where there is one), question, separator, and each step with its separator behind
it; a score is sigmoid(w x + b) at the separator's last token (see `rung.model.rendering`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from rung.core.types import Chain
from rung.model.checkpoint import load_reward_model
from rung.model.reader import CheckpointFiles, Family, Reader
from rung.model.reading import READING_FILE
from rung.model.rendering import Rendered, render_all


class SigmoidHead(nn.Module):
    """P(right) from one logit."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, states_KD: Tensor) -> Tensor:
        """Scores (K,) of states (K, D)."""
        return torch.sigmoid(self.linear(states_KD).squeeze(-1))


def open_own(folder: Path, dtype: torch.dtype) -> Reader:
    """Open a checkpoint that rung trained."""
    model, tokenizer, reading = load_reward_model(folder, dtype=dtype)

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        return render_all(chains, tokenizer, reading)

    return Reader(
        family=FAMILY.name,
        kind=reading.kind,
        trunk=model.trunk,
        head=SigmoidHead(model.score).float(),
        render=render,
        tokenizer=tokenizer,
        settings=msgspec.to_builtins(reading),
    )


def _recognize(files: CheckpointFiles) -> str | None:
    return f"it holds {READING_FILE}" if (files.folder / READING_FILE).exists() else None


FAMILY = Family("rung", "trained by rung", _recognize, open_own)
