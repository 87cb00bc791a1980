r"""Token classifiers of TRL's PRMTrainer: two labels, read at the separator behind each step.

Two ways to show a chain, as trainer and published evaluations differ:

- ``published``, the default: for every k the text ``sep.join((question, *steps[:k])) + sep`` is
  tokenized whole and read at its last token (TRL's docs/source/prm_trainer.md, and
  github.com/huggingface/ProcessBench, code/run_eval_prm_trl.py). Published numbers come from it.
- ``training``: BOS where there is one, question, and each step with the separator behind it, all
  tokenized alone, with nothing between question and first step; read at the separator's last
  token (trl/experimental/prm/prm_trainer.py).

The separator is a line break, and a blank line for Qwen2.5-Math-*-Instruct-PRM-0.2. How scores are
combined is not told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rung.core.types import Chain
from rung.model.families.heads import Head, linear, right_of_two
from rung.model.families.texts import Encoder, plain_text, read_at, read_growing, shown
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.rendering import Rendered
from rung.model.trunk import read_config

BLANK_LINE_MODELS = ("instruct-prm-0.2",)
ENDING = "ForTokenClassification"


@dataclass(frozen=True, slots=True)
class TrlOptions:
    """How a token classifier is shown a chain."""

    mode: Literal["published", "training"] = "published"
    separator: str | None = None
    """Behind each step; by default what the model's name tells, else a line break."""


def open_trl(folder: Path, how: Opening) -> Reader:
    """Open a token classifier."""
    found = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    options: TrlOptions = how.options
    separator = separator_of(folder, options)
    shows = whole_strings if options.mode == "published" else pieces
    return Reader(
        family=FAMILY.name,
        kind="prm",
        trunk=found.trunk,
        head=Head(linear(found.weights, "score", num_outputs=2), right_of_two),
        render=shows(found.tokenizer, separator, found.config.max_position_embeddings),
        aggregation=None,
        tokenizer=found.tokenizer,
        weight_files=found.weights.files,
        settings={"separator": separator},
    )


def separator_of(folder: Path, options: TrlOptions) -> str:
    """What stands behind each step: as the options say, else as the model's name tells."""
    name = f"{folder.resolve().name} {read_config(folder).get('_name_or_path', '')}".lower()
    is_blank = any(model in name for model in BLANK_LINE_MODELS)
    return options.separator or ("\n\n" if is_blank else "\n")


def pieces(
    tokenizer: Any, separator: str, max_tokens: int, *, with_bos: bool = True
) -> Callable[[Sequence[Chain]], list[Rendered]]:
    """The trainer's ids: question, and each step with the separator, tokenized alone."""
    plain = plain_text(tokenizer)
    bos = [tokenizer.bos_token_id] if with_bos and tokenizer.bos_token_id is not None else []

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        encoder = Encoder(tokenizer, special=False)
        found: list[Rendered] = []
        for chain in chains:
            ids = [*bos, *encoder(plain(chain.problem.question))]
            ends: list[int] = []
            for step in chain.steps:
                ids = [*ids, *encoder(plain(shown(step))), *encoder(separator)]
                ends.append(len(ids) - 1)
            found.append(read_at(ids, ends, max_tokens))
        return found

    return render


def whole_strings(
    tokenizer: Any, separator: str, max_tokens: int
) -> Callable[[Sequence[Chain]], list[Rendered]]:
    """The published ids: every prefix as one string, the separator behind the question too."""
    plain = plain_text(tokenizer)

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        encoder = Encoder(tokenizer)
        found: list[Rendered] = []
        for chain in chains:
            text = plain(chain.problem.question) + separator
            prefixes: list[list[int]] = []
            for step in chain.steps:
                text += plain(shown(step)) + separator
                prefixes.append(encoder(text))
            found.append(read_growing(prefixes, max_tokens))
        return found

    return render


def is_token_classifier(files: CheckpointFiles) -> bool:
    """Whether the folder holds a token classifier with two labels."""
    labels = files.config.get("id2label") or {}
    num_labels = files.config.get("num_labels", len(labels) or 2)  # 2 is transformers' default
    return files.architecture.endswith(ENDING) and num_labels == 2


def _recognize(files: CheckpointFiles) -> str | None:
    is_it = is_token_classifier(files)
    return f"config.json names {files.architecture} with two labels" if is_it else None


FAMILY = Family("trl", "TRL's token classifiers", _recognize, open_trl, TrlOptions, rank=0)
