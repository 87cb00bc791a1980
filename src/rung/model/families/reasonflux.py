"""ReasonFlux-PRM-7B, a PRM, and ReasonFlux-PRM-1.5B, one score a chain (arXiv:2506.18896).

The 7B model is read as Qwen's PRMs are, under the chat template's default system message. The
1.5B model is shown question and solution as one text of at most 2048 tokens, without a template;
its head stands in ``reward_head.pt``, a pickle, and its score is the sigmoid at the last token.
Source: github.com/Gen-Verse/ReasonFlux, ReasonFlux_PRM/README.md and utils/rm_utils.py. Where the
authors cut a longer text, we give no score: what is cut off is not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rung.core.types import Chain
from rung.model.families.heads import Head, linear, sigmoid
from rung.model.families.qwen_prm import ARCHITECTURE, open_marked
from rung.model.families.texts import encode, plain_text, read_whole, shown
from rung.model.foreign import load_pickle, open_foreign, weights_of
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.rendering import Rendered

HEAD_FILE = "reward_head.pt"
MAX_TOKENS = 2048


def open_reasonflux(folder: Path, how: Opening) -> Reader:
    """Open ReasonFlux-PRM-7B."""
    return open_marked(folder, how, family=FAMILY.name, system=None, aggregation=None)


def open_reasonflux_orm(folder: Path, how: Opening) -> Reader:
    """Open ReasonFlux-PRM-1.5B; its head is a pickle, so it must be trusted.

    The authors put nothing between question and solution, and don't say how steps are joined:
    we join them by a blank line, at which they split.
    """
    state = load_pickle(folder / HEAD_FILE, trust_pickle=how.trust_pickle)
    head = weights_of(folder, {f"reward_head.{name}": tensor for name, tensor in state.items()})
    found = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    max_tokens = min(MAX_TOKENS, found.config.max_position_embeddings)
    plain = plain_text(found.tokenizer)

    def text(chain: Chain) -> str:
        solution = "\n\n".join(map(shown, chain.steps))
        return plain(chain.problem.question + solution)

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        ids_BT = encode([text(chain) for chain in chains], found.tokenizer)
        return [
            read_whole(ids, len(chain.steps), max_tokens)
            for chain, ids in zip(chains, ids_BT, strict=True)
        ]

    return Reader(
        family=ORM_FAMILY.name,
        kind="orm",
        trunk=found.trunk,
        head=Head(linear(head, "reward_head", num_outputs=1), sigmoid),
        render=render,
        aggregation="last",
        reads_unfinished_steps=False,
        tokenizer=found.tokenizer,
        weight_files=(*found.weights.files, folder / HEAD_FILE),
    )


def _recognize(files: CheckpointFiles) -> str | None:
    return files.mentions("reasonflux-prm") if files.architecture == ARCHITECTURE else None


def _recognize_orm(files: CheckpointFiles) -> str | None:
    return f"it holds {HEAD_FILE}" if (files.folder / HEAD_FILE).exists() else None


FAMILY = Family("reasonflux-prm", "ReasonFlux-PRM-7B", _recognize, open_reasonflux)
ORM_FAMILY = Family("reasonflux-orm", "ReasonFlux-PRM-1.5B", _recognize_orm, open_reasonflux_orm)
