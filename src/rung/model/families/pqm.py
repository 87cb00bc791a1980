r"""PQM, process Q-value models: a scalar head of TRL's kind at the token ``[PRM]``.

``query + "\n" + " [PRM]\n".join(steps) + " [PRM]"`` is tokenized whole without BOS; the steps are
stripped and say "Step i: ". Checkpoints are bare state dicts on deepseek-math-7b-base: config and
tokenizer of that model must stand beside them, and ``[PRM]`` is added to the tokenizer if it is
missing. The score is the sigmoid of the head's value, which the authors take for weighted votes;
a chain's value is the minimum. Source: github.com/WindyLee0822/Process_Q_Model, train_main.py,
value_model.py and bon_eval_hf.py, whose queries differ: see `PqmOptions`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken

from rung.core.errors import InputError
from rung.core.types import Chain
from rung.model.families.heads import Head, linear, sigmoid
from rung.model.families.skywork import VALUE_HEAD
from rung.model.families.texts import encode, marker_id, plain_text, read_markers, shown
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.rendering import Rendered

MARKER = "[PRM]"
QUERIES = {
    "inst": "[INST] {} [/INST]",
    "alpaca": (
        "Below is an instruction that describes a task.\n"
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\n{}\n\n### Response: Let's think step by step"
    ),
}
NUMBER = re.compile(r"\s*Step \d+:")


@dataclass(frozen=True, slots=True)
class PqmOptions:
    """How PQM is shown a question."""

    query: Literal["inst", "alpaca"] = "inst"
    """As in training, or as in the authors' best-of-N evaluation."""


def open_pqm(folder: Path, how: Opening) -> Reader:
    """Open a checkpoint of PQM.

    Raises:
        InputError: The embedding has no row for ``[PRM]``, or what `open_foreign` refuses.
    """
    found = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    options: PqmOptions = how.options
    if MARKER not in found.tokenizer.get_vocab():
        added = AddedToken(MARKER, normalized=False, special=True)
        found.tokenizer.add_tokens([added], special_tokens=True)
    if marker_id(found.tokenizer, MARKER) >= found.config.vocab_size:
        reason = f"the embedding has no row for {MARKER}; is the tokenizer that of the trunk?"
        raise InputError(reason, file=str(folder))

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        query = QUERIES[options.query]
        return render_numbered(chains, found.tokenizer, query, found.config.max_position_embeddings)

    return Reader(
        family=FAMILY.name,
        kind="prm",
        trunk=found.trunk,
        head=Head(linear(found.weights, VALUE_HEAD, num_outputs=1), sigmoid),
        render=render,
        aggregation="min",
        tokenizer=found.tokenizer,
        weight_files=found.weights.files,
    )


def render_numbered(
    chains: Sequence[Chain], tokenizer: Any, query: str, max_tokens: int
) -> list[Rendered]:
    """The rendering; a number that a step says itself is replaced by its place in the chain."""
    plain, marker = plain_text(tokenizer, MARKER), marker_id(tokenizer, MARKER)

    def text(chain: Chain) -> str:
        steps = (NUMBER.sub("", plain(shown(step)), count=1).strip() for step in chain.steps)
        answer = "\n".join(f"Step {k}: {step} {MARKER}" for k, step in enumerate(steps, 1))
        return f"{query.format(plain(chain.problem.question))}\n{answer}"

    ids_BT = encode([text(chain) for chain in chains], tokenizer, special=False)
    return [
        read_markers(ids, marker, len(chain.steps), max_tokens)
        for chain, ids in zip(chains, ids_BT, strict=True)
    ]


def _recognize(files: CheckpointFiles) -> str | None:
    has_head = not files.weight_names or any(VALUE_HEAD in name for name in files.weight_names)
    return files.mentions("pqm") if has_head else None


FAMILY = Family("pqm", "PQM-zeta-2, -4, -8", _recognize, open_pqm, PqmOptions)
