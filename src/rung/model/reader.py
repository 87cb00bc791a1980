"""What a scorer needs of any reward model, ours or a published one.

How chains become ids, which trunk they go through, and how its hidden states become scores.

Each family of checkpoints (`rung.model.families`) opens its folders as a `Reader`; all that scores
(`rung.score`) works on readers alone. Shape letters: K positions that are read, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rung.core.errors import RungError
from rung.core.types import Chain
from rung.model.reading import Kind
from rung.model.rendering import Rendered


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """An opened reward model with all that says how it is read."""

    family: str
    """The family's name in `rung.model.families.FAMILIES`."""
    kind: Kind
    trunk: Any
    """A transformers decoder without heads, in evaluation mode."""
    head: Callable[[Tensor], Tensor]
    """From fp32 states (K, D) to K scores: P(this step is right, given its prefix).

    A torch module where it has weights, which then stay in fp32: in bf16 so few scores differ that
    steps would tie.
    """
    render: Callable[[Sequence[Chain]], list[Rendered]]
    """Chains to ids and the places where their steps' scores are read."""
    aggregation: str | None = "min"
    """How the authors combine the step scores (a name in `AGGREGATIONS`); None: they don't say."""
    reads_unfinished_steps: bool = True
    """Whether the score of a step that is still being written means anything.

    True where the step's text is followed by a mark that asks for the score; False where a step
    must have ended by itself, or where chains are only read whole.
    """
    tokenizer: Any = None
    weight_files: tuple[Path, ...] = ()
    """The files whose bytes make the weights' hash; none: the folder's safetensors."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What scores depend on besides weights and tokenizer, as JSON."""

    def scores(self, features_KD: Tensor, name: str) -> list[float]:
        """The head's scores of K states; `name` is the scorer's, for the error.

        Raises:
            RungError: A score is not a number.
        """
        with torch.inference_mode():
            scores_K = self.head(features_KD.float())
        if not scores_K.isfinite().all():
            raise RungError(f"the scorer {name} gives scores that are not numbers")
        return scores_K.tolist()

    def to(self, device: torch.device, dtype: torch.dtype) -> Reader:
        """Move the trunk and the head to a device, and the trunk to a number type; return self."""
        move_trunk(self.trunk, device, dtype)
        if isinstance(self.head, torch.nn.Module):
            self.head.to(device=device, dtype=torch.float32)
        return self


def move_trunk(trunk: Any, device: torch.device, dtype: torch.dtype) -> None:
    """Move a trunk to a device, and its weights to a number type.

    Its buffers keep their type: rotary frequencies in bf16 would turn far positions by whole
    radians.
    """
    trunk.to(device=device)
    for weight in trunk.parameters():
        weight.data = weight.data.to(dtype)


@dataclass(frozen=True, slots=True)
class Opening:
    """How a checkpoint is to be opened, beyond what its files say."""

    dtype: torch.dtype = torch.float32
    """Of the trunk's weights."""
    trust_pickle: bool = False
    """Whether pickled weights may be opened, with ``weights_only``."""
    options: Any = None
    """The family's options: an instance of `Family.options`."""


@dataclass(frozen=True, slots=True)
class NoOptions:
    """The options of a family that has none."""


@dataclass(frozen=True, slots=True)
class Family:
    """One published way to read a reward model.

    A module of `rung.model.families` defines one and documents its sources.
    """

    name: str
    about: str
    """A few words: whose models these are."""
    recognize: Callable[[CheckpointFiles], str | None]
    """Why a folder is of this family, from its files alone; None if nothing says so."""
    open: Callable[[Path, Opening], Reader]
    options: type[Any] = NoOptions
    """A frozen dataclass: what the user may choose, with defaults; given by name."""
    rank: int = 1
    """Of the families that recognize a folder only those of the highest rank count.

    0 for a general layout that more special families share, 2 where the files say the family's
    very name.
    """


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """What a folder's files say before any weight is loaded."""

    folder: Path
    config: Mapping[str, Any]
    """``config.json``."""
    weight_names: frozenset[str]
    """Names of the tensors; empty where the weights are pickled without an index."""
    card: str
    """``README.md``, the model card; empty where there is none."""

    @property
    def architecture(self) -> str:
        """The first of the config's ``architectures``; empty where there is none."""
        named = self.config.get("architectures") or [""]
        return str(named[0])

    @property
    def title(self) -> str:
        """The card's first heading. The rest of a card also names the models it compares with."""
        headings = (line for line in self.card.splitlines() if line.startswith("# "))
        return next(headings, "").removeprefix("# ")

    def mentions(self, *names: str) -> str | None:
        """Where one of the names stands (any case): folder's name, config, or the card's title."""
        places = {
            "the folder's name": self.folder.resolve().name,
            "config.json's _name_or_path": str(self.config.get("_name_or_path", "")),
            "the title of README.md": self.title,
        }
        for name in names:
            for place, text in places.items():
                if name.lower() in text.lower():
                    return f"{place} says {name}"
        return None
