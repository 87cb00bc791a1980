"""Qwen2.5-Math-RM-72B (and Qwen2-Math-RM-72B): one score for a whole chain (arXiv:2409.12122).

The chat template with Qwen's system message; the answer's scalar stands at the last token of the
text, from Linear, ReLU, Linear on a Qwen2 trunk. Source: the model card, vLLM's ``qwen2_rm.py``.
The card gives the scalar as it is; we give its sigmoid, which keeps the order and lies in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rung.core.types import Chain
from rung.model.families.heads import Head, sigmoid, two_layers
from rung.model.families.qwen_prm import SYSTEM
from rung.model.families.texts import chat, encode, plain_text, read_whole, shown
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.rendering import Rendered

ARCHITECTURE = "Qwen2ForRewardModel"


def open_qwen_rm(folder: Path, how: Opening) -> Reader:
    """Open an outcome reward model of Qwen's; its steps are joined by blank lines."""
    found = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    plain = plain_text(found.tokenizer)

    def text(chain: Chain) -> str:
        answer = "\n\n".join(plain(shown(step)) for step in chain.steps)
        turns = [("system", SYSTEM), ("user", plain(chain.problem.question)), ("assistant", answer)]
        return chat(found.tokenizer, turns)

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        ids_BT = encode([text(chain) for chain in chains], found.tokenizer, special=False)
        return [
            read_whole(ids, len(chain.steps), found.config.max_position_embeddings)
            for chain, ids in zip(chains, ids_BT, strict=True)
        ]

    return Reader(
        family=FAMILY.name,
        kind="orm",
        trunk=found.trunk,
        head=Head(two_layers(found.weights, "score", num_outputs=1), sigmoid),
        render=render,
        aggregation="last",
        reads_unfinished_steps=False,
        tokenizer=found.tokenizer,
        weight_files=found.weights.files,
    )


def _recognize(files: CheckpointFiles) -> str | None:
    is_it = files.architecture == ARCHITECTURE and not files.mentions("universal-prm")
    return f"config.json names {ARCHITECTURE}" if is_it else None


FAMILY = Family("qwen-rm", "Qwen2.5-Math-RM, Qwen2-Math-RM", _recognize, open_qwen_rm)
