r"""MATH-Minos: a Mistral token classifier with one label, read at a Cyrillic letter.

``"Human: {q}\n\nAssistant:"`` and ``"Step i: ... и\n"`` for each step, less a number that it says
itself, are tokenized as one string. P(right) is the sigmoid of the label at each step's own
letter, wherever else the letter stands. Source: github.com/ssmisya/PRMBench,
mr_eval/models/mathminos_mistral.py, where the raw value's threshold is 0. How scores are combined
is not told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rung.core.types import Chain
from rung.model.families.heads import Head, linear, sigmoid
from rung.model.families.texts import plain_text, read_at, shown
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.rendering import Rendered

MARKER = "и"
NUMBER = re.compile(r"^(?:step\s*)?\d+\.\s*", re.IGNORECASE)


def open_math_minos(folder: Path, how: Opening) -> Reader:
    """Open a checkpoint of MATH-Minos."""
    found = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        max_tokens = found.config.max_position_embeddings
        return [render_letters(chain, found.tokenizer, max_tokens) for chain in chains]

    return Reader(
        family=FAMILY.name,
        kind="prm",
        trunk=found.trunk,
        head=Head(linear(found.weights, "score", num_outputs=1), sigmoid),
        render=render,
        aggregation=None,
        tokenizer=found.tokenizer,
        weight_files=found.weights.files,
    )


def render_letters(chain: Chain, tokenizer: Any, max_tokens: int) -> Rendered:
    """The rendering; the letters are found by where they stand in the text."""
    plain = plain_text(tokenizer)
    text, letters = f"Human: {plain(chain.problem.question)}\n\nAssistant:", list[int]()
    for k, step in enumerate(chain.steps, 1):
        text += f"Step {k}: {NUMBER.sub('', plain(shown(step)).strip())} {MARKER}"
        letters.append(len(text) - 1)
        text += "\n"
    encoded = tokenizer(text, return_offsets_mapping=True, verbose=False)
    token_at = {
        letter: token
        for token, (start, stop) in enumerate(encoded["offset_mapping"])
        for letter in range(start, stop)
    }
    return read_at(encoded["input_ids"], [token_at[letter] for letter in letters], max_tokens)


def _recognize(files: CheckpointFiles) -> str | None:
    is_classifier = files.architecture == "MistralForTokenClassification"
    return files.mentions("minos") if is_classifier else None


FAMILY = Family("math-minos", "MATH-Minos", _recognize, open_math_minos)
