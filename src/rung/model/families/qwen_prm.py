"""Qwen2.5-Math-PRM-7B and -72B, Qwen2.5-Math-7B-PRM800K (arXiv:2501.07301).

The chat template with Qwen's own system message; the assistant's turn is every step with a marker
behind it. P(right) is label 1 of two at the marker, from Linear, ReLU, Linear on a Qwen2 trunk.
For best-of-N the authors multiply the step scores (section 2.2).
Sources: the model cards; vLLM's ``qwen2_rm.py`` for the weights' names. Their card finds the
positions by ``x != 0``, which loses a step whose probability underflows; we read by position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rung.core.types import Chain
from rung.model.families.heads import Head, right_of_two, two_layers
from rung.model.families.texts import (
    chat,
    encode,
    marker_id,
    plain_text,
    read_markers,
    shown,
)
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.rendering import Rendered

SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."
MARKER = "<extra_0>"
ARCHITECTURE = "Qwen2ForProcessRewardModel"


def open_qwen_prm(folder: Path, how: Opening) -> Reader:
    """Open a checkpoint of Qwen's PRMs."""
    return open_marked(folder, how, family=FAMILY.name, system=SYSTEM, aggregation="product")


def open_marked(
    folder: Path, how: Opening, *, family: str, system: str | None, aggregation: str | None
) -> Reader:
    """Open a checkpoint of Qwen's layout; with no system message the template's default stands."""
    found = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    head = Head(two_layers(found.weights, "score", num_outputs=2), right_of_two)
    return Reader(
        family=family,
        kind="prm",
        trunk=found.trunk,
        head=head,
        render=marked(found.tokenizer, system, found.config.max_position_embeddings),
        aggregation=aggregation,
        tokenizer=found.tokenizer,
        weight_files=found.weights.files,
    )


def marked(
    tokenizer: Any, system: str | None, max_tokens: int
) -> Callable[[Sequence[Chain]], list[Rendered]]:
    """The rendering: a chat whose answer has the marker behind every step."""
    marker = marker_id(tokenizer, MARKER)
    plain = plain_text(tokenizer, MARKER)
    first = [] if system is None else [("system", system)]

    def text(chain: Chain) -> str:
        answer = "".join(plain(shown(step)) + MARKER for step in chain.steps)
        question = plain(chain.problem.question)
        return chat(tokenizer, [*first, ("user", question), ("assistant", answer)])

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        ids_BT = encode([text(chain) for chain in chains], tokenizer)
        return [
            read_markers(ids, marker, len(chain.steps), max_tokens)
            for chain, ids in zip(chains, ids_BT, strict=True)
        ]

    return render


def _recognize(files: CheckpointFiles) -> str | None:
    is_other = files.mentions("reasonflux")
    if files.architecture == ARCHITECTURE and not is_other:
        return f"config.json names {ARCHITECTURE}"
    return None


FAMILY = Family("qwen-prm", "Qwen2.5-Math-PRM, Qwen2.5-Math-7B-PRM800K", _recognize, open_qwen_prm)
