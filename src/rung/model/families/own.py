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

from rung.core.types import Chain
from rung.model.checkpoint import load_reward_model
from rung.model.families.heads import Head, all_but_first, sigmoid
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.reading import READING_FILE
from rung.model.rendering import Rendered, render_all


def open_own(folder: Path, how: Opening) -> Reader:
    """Open a checkpoint that rung trained."""
    model, tokenizer, reading = load_reward_model(folder, dtype=how.dtype)

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        return render_all(chains, tokenizer, reading)

    read = sigmoid if reading.head == "scalar" else all_but_first
    return Reader(
        family=FAMILY.name,
        kind=reading.kind,
        trunk=model.trunk,
        head=Head(model.score, read).float(),
        render=render,
        tokenizer=tokenizer,
        settings=msgspec.to_builtins(reading),
    )


def _recognize(files: CheckpointFiles) -> str | None:
    return f"it holds {READING_FILE}" if (files.folder / READING_FILE).exists() else None


FAMILY = Family("rung", "trained by rung", _recognize, open_own, rank=2)
