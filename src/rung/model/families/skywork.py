"""Skywork-o1-Open-PRM-Qwen-2.5-1.5B and -7B: a scalar head of TRL's kind, a score a line.

The ids are BOS, the question and a line break, then every line tokenized alone with the id of a
line break behind it; P(right) is the sigmoid there. Every line is a step to them, blank ones too,
so a rung step of several lines is scored at its last line.
Source: github.com/SkyworkAI/skywork-o1-prm-inference, model_utils/io_utils.py and prm_model.py.
How the authors combine the scores is not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rung.core.types import Chain
from rung.model.families.heads import Head, linear, sigmoid
from rung.model.families.texts import Encoder, plain_text, read_at, shown
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.rendering import Rendered

LINE_BREAK = "\n"
VALUE_HEAD = "v_head.summary"


def open_skywork(folder: Path, how: Opening) -> Reader:
    """Open a checkpoint of Skywork's PRMs."""
    found = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    max_tokens = found.config.max_position_embeddings

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        return render_lines(chains, found.tokenizer, max_tokens)

    return Reader(
        family=FAMILY.name,
        kind="prm",
        trunk=found.trunk,
        head=Head(linear(found.weights, VALUE_HEAD, num_outputs=1), sigmoid),
        render=render,
        aggregation=None,
        tokenizer=found.tokenizer,
        weight_files=found.weights.files,
    )


def render_lines(chains: Sequence[Chain], tokenizer: Any, max_tokens: int) -> list[Rendered]:
    """The rendering; a tokenizer without BOS puts nothing before the question."""
    plain, encoder = plain_text(tokenizer), Encoder(tokenizer)
    line_end = tokenizer.encode(LINE_BREAK)[-1]
    found: list[Rendered] = []
    for chain in chains:
        question = plain(chain.problem.question)
        ids = encoder((tokenizer.bos_token or "") + question + LINE_BREAK)
        ends: list[int] = []
        for step in chain.steps:
            for line in plain(shown(step)).split(LINE_BREAK):
                ids = [*ids, *(encoder(line) if line else []), line_end]
            ends.append(len(ids) - 1)
        found.append(read_at(ids, ends, max_tokens))
    return found


def _recognize(files: CheckpointFiles) -> str | None:
    has_head = not files.weight_names or f"{VALUE_HEAD}.weight" in files.weight_names
    return files.mentions("skywork-o1-open-prm", "skywork-prm") if has_head else None


FAMILY = Family("skywork", "Skywork-o1-Open-PRM", _recognize, open_skywork)
