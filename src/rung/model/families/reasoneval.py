r"""ReasonEval-7B and -34B: three labels a step, validity or redundancy (arXiv:2404.05692).

Of the labels 0 wrong, 1 neutral and 2 right, validity is p1 + p2, and redundancy p1. A score says
how good a step is, so of redundancy it is 1 - p1: the step is needed, right or wrong. The text is
tokenized whole with the pad token as separator behind the question and every step; then the
separators are taken out and a step is read where the authors' arithmetic points. In the 7B model
BOS is the pad token and is put back, without moving the positions, so a step is read at its last
token but one; in the 34B model it is read at its last. Their printed numbers come from that.
Source: github.com/GAIR-NLP/ReasonEval, codes/examples.py. A chain's validity is the minimum, its
redundancy the maximum, which is the minimum of 1 - p1, too.

No mark in the ids asks for the score, so a step that is still being written can't be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from rung.core.errors import RungError
from rung.core.types import Chain
from rung.model.families.heads import Head, all_but_first, linear
from rung.model.families.texts import encode, plain_text, read_at, shown
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.rendering import Rendered

PROMPT = "Question:\n{}\nAnswer:\nLet's think step by step.\n"
LLAMA_BOS = 1
"""What the authors put before the ids of the 7B model."""


@dataclass(frozen=True, slots=True)
class ReasonEvalOptions:
    """Which of its two scores a step gets."""

    score: Literal["validity", "redundancy"] = "validity"
    """"redundancy": 1 - the authors' redundancy, so that a needless step has a low score."""


def open_reasoneval(folder: Path, how: Opening) -> Reader:
    """Open a checkpoint of ReasonEval."""
    found = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    is_small = hasattr(found.config, "score_dimension")  # the 34B model's key is score_dim
    max_tokens = found.config.max_position_embeddings
    options: ReasonEvalOptions = how.options
    read = all_but_first if options.score == "validity" else all_but_neutral

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        return render_separated(chains, found.tokenizer, max_tokens, is_small=is_small)

    return Reader(
        family=FAMILY.name,
        kind="prm",
        trunk=found.trunk,
        head=Head(linear(found.weights, "score_head", num_outputs=3), read),
        render=render,
        aggregation="min",
        reads_unfinished_steps=False,
        tokenizer=found.tokenizer,
        weight_files=found.weights.files,
        settings={"size": "7B" if is_small else "34B", "score": options.score},
    )


def all_but_neutral(logits_KL: Tensor) -> Tensor:
    """1 - P(label 1)."""
    return all_but_first(logits_KL[:, [1, 0, 2]])


def render_separated(
    chains: Sequence[Chain], tokenizer: Any, max_tokens: int, *, is_small: bool
) -> list[Rendered]:
    """The rendering.

    Raises:
        RungError: The separators are not where the authors' arithmetic expects them, so this is
            another model's tokenizer.
    """
    separator = tokenizer.pad_token
    if separator is None:
        raise RungError("the tokenizer has no pad token, which ReasonEval puts behind each step")
    plain = plain_text(tokenizer)
    texts = [
        PROMPT.format(plain(chain.problem.question))
        + separator
        + "".join(plain(shown(step)) + separator for step in chain.steps)
        for chain in chains
    ]
    marker = tokenizer.convert_tokens_to_ids(separator)
    found: list[Rendered] = []
    for chain, ids in zip(chains, encode(texts, tokenizer), strict=True):
        marks = [place for place, token in enumerate(ids) if token == marker]
        places = [place - 1 - before for before, place in enumerate(marks)][2 if is_small else 1 :]
        if len(places) != len(chain.steps):
            raise RungError(
                f"{len(marks)} separators stand in the ids of a chain of {len(chain.steps)} steps;"
                " is it this model's tokenizer?"
            )
        kept = [token for token in ids if token != marker]
        found.append(read_at([LLAMA_BOS, *kept] if is_small else kept, places, max_tokens))
    return found


def _recognize(files: CheckpointFiles) -> str | None:
    if files.architecture.startswith("ReasonEval"):
        return f"config.json names {files.architecture}"
    if "score_head.weight" in files.weight_names:
        return "the weights hold score_head.weight"
    return None


FAMILY = Family(
    "reasoneval", "ReasonEval-7B, -34B", _recognize, open_reasoneval, options=ReasonEvalOptions
)
