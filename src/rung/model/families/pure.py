r"""PURE-PRM-7B: a token classifier read as TRL trains it (arXiv:2504.15275).

Question, and each step with a line break behind it, are tokenized alone, without BOS or template.
The authors' step reward is r = p1 - p0 in [-1, 1] and their chain value the softmax(-r / 0.1)
weighted sum; our score is p1 = (r + 1) / 2, and `soft_min`'s temperature is halved to match, so
that chains are ordered alike. Source: github.com/CJReinforce/PURE, PRM/finetune.py, and the card.
PRMBench puts a blank line behind each step instead, which ``separator`` allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rung.model.families.heads import Head, linear, right_of_two
from rung.model.families.trl import is_token_classifier, pieces
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader


@dataclass(frozen=True, slots=True)
class PureOptions:
    """How PURE-PRM is shown a chain."""

    separator: str = "\n"
    """Behind each step."""


def open_pure(folder: Path, how: Opening) -> Reader:
    """Open PURE-PRM."""
    found = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    options: PureOptions = how.options
    max_tokens = found.config.max_position_embeddings
    return Reader(
        family=FAMILY.name,
        kind="prm",
        trunk=found.trunk,
        head=Head(linear(found.weights, "score", num_outputs=2), right_of_two),
        render=pieces(found.tokenizer, options.separator, max_tokens, with_bos=False),
        aggregation="soft_min",
        tokenizer=found.tokenizer,
        weight_files=found.weights.files,
    )


def _recognize(files: CheckpointFiles) -> str | None:
    return files.mentions("pure-prm") if is_token_classifier(files) else None


FAMILY = Family("pure", "PURE-PRM", _recognize, open_pure, PureOptions)
