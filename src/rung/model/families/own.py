"""Checkpoints of `rung train prm` and `rung train orm`: ``rung.json`` says how they are read.

The ids are BOS (where there is one), question, separator, and each step with its separator behind
it (see `rung.model.rendering`). At the separator's last token the head has one logit, and the
score is its sigmoid; or one a class, the first of them for a wrong step, and the score is the
softmax mass of the others.
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


class SoftmaxHead(nn.Module):
    """P(right) from a logit a class: the softmax mass of all classes but the first, "wrong"."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, states_KD: Tensor) -> Tensor:
        """Scores (K,) of states (K, D)."""
        logits_KC = self.linear(states_KD)
        # as a sigmoid: a sum of softmax's parts can pass 1 by rounding
        return torch.sigmoid(logits_KC[:, 1:].logsumexp(-1) - logits_KC[:, 0])


def open_own(folder: Path, dtype: torch.dtype) -> Reader:
    """Open a checkpoint that rung trained."""
    model, tokenizer, reading = load_reward_model(folder, dtype=dtype)

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        return render_all(chains, tokenizer, reading)

    head = SigmoidHead if reading.head == "scalar" else SoftmaxHead
    return Reader(
        family=FAMILY.name,
        kind=reading.kind,
        trunk=model.trunk,
        head=head(model.score).float(),
        render=render,
        tokenizer=tokenizer,
        settings=msgspec.to_builtins(reading),
    )


def _recognize(files: CheckpointFiles) -> str | None:
    return f"it holds {READING_FILE}" if (files.folder / READING_FILE).exists() else None


FAMILY = Family("rung", "trained by rung", _recognize, open_own)
