"""What a scorer needs of any reward model, ours or a published one.

How chains become ids, which trunk they go through, and how its hidden states become scores.

Each family of checkpoints (`rung.model.families`) opens its folders as a `Reader`; all that scores
(`rung.score`) works on readers alone. Shape letters: K positions that are read, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

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
    aggregation: str = "min"
    """How the authors combine the step scores (a name in `AGGREGATIONS`)."""
    reads_unfinished_steps: bool = True
    """Whether the score of a step that is still being written means anything.

    True where the step's text is followed by a mark that asks for the score; False where a step
    must have ended by itself, or where chains are only read whole.
    """
    tokenizer: Any = None
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
        self.trunk.to(device=device, dtype=dtype)
        if isinstance(self.head, torch.nn.Module):
            self.head.to(device=device, dtype=torch.float32)
        return self


class Family(NamedTuple):
    """One published way to read a reward model.

    A module of `rung.model.families` defines one and documents its sources.
    """

    name: str
    about: str
    """A few words: whose models these are."""
    recognize: Callable[[CheckpointFiles], str | None]
    """Why a folder is of this family, from its files alone; None if nothing says so."""
    open: Callable[[Path, torch.dtype], Reader]


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """What a folder's files say before any weight is loaded."""

    folder: Path
    config: Mapping[str, Any]
    """``config.json``; empty where there is none."""
    weight_names: frozenset[str]
    """Names of the tensors in the safetensors files."""
    card: str
    """``README.md``, the model card; empty where there is none."""

    @property
    def architecture(self) -> str:
        """The first of the config's ``architectures``; empty where there is none."""
        named = self.config.get("architectures") or [""]
        return str(named[0])

    def mentions(self, *names: str) -> str | None:
        """Where one of the names stands (any case): the folder's name, the config or the card."""
        places = {
            "the folder's name": self.folder.resolve().name,
            "config.json's _name_or_path": str(self.config.get("_name_or_path", "")),
            "README.md": self.card,
        }
        for name in names:
            for place, text in places.items():
                if name.lower() in text.lower():
                    return f"{place} says {name}"
        return None
