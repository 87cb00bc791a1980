"""A frozen trunk is run once: its hidden states at the targets are kept for all epochs.

They lie in the run's folder, ``state/features-00000.safetensors`` and so on, a file for some
chains each, so a killed run goes on with the chains that are missing. Dropout that a trunk's
config asks for is off in them; without it, training on them is training with the trunk.

Shape letters: K targets of an example, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rung.core.errors import InputError
from rung.core.files import replacing
from rung.core.protocols import Progress
from rung.model.engine import PrefixEngine, Request
from rung.train.examples import Example
from rung.train.settings import Optimization
from rung.train.state import STATE_FOLDER

SHARD_BATCHES = 16
"""Forward passes whose features make one file."""


def trunk_features(
    trunk: Any,
    examples: Sequence[Example],
    settings: Optimization,
    device: torch.device,
    out: Path,
    progress: Progress,
) -> list[Tensor]:
    """The trunk's hidden states (K, D) at the reads of each example, computed or found in `out`.

    Raises:
        InputError: A file in `out` is damaged.
    """
    shards = plan_shards(examples, settings.batch_tokens * SHARD_BATCHES)
    engine = PrefixEngine(trunk.eval().to(device), batch_tokens=settings.batch_tokens)

    def compute(shard: int) -> Tensor:
        requests = [Request(examples[i].ids, examples[i].reads) for i in shards[shard]]
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            return engine.features(requests)

    progress.start("running the frozen trunk", len(shards))
    rows = kept(out, "features", len(shards), compute, progress)
    found: dict[int, Tensor] = {}
    for shard_KD, indices in zip(rows, shards, strict=True):
        sizes = [len(examples[i].reads) for i in indices]
        found |= zip(indices, shard_KD.split(sizes), strict=True)
    return [found[i] for i in range(len(examples))]


def kept(
    out: Path, name: str, count: int, compute: Callable[[int], Tensor], progress: Progress
) -> list[Tensor]:
    """Tensors that are computed once: each is a file in the run's state, or becomes one.

    Raises:
        InputError: A file is damaged.
    """
    found: list[Tensor] = []
    for k in range(count):
        path = out / STATE_FOLDER / f"{name}-{k:05}.safetensors"
        if not path.exists():
            with replacing(path) as aside:
                save_file({name: compute(k).cpu().contiguous()}, aside)
        found.append(_load(path, name))
        progress.advance()
    return found


def plan_shards(examples: Sequence[Example], tokens: int) -> list[list[int]]:
    """Indices of examples, those of one question side by side, cut at about so many tokens."""
    order = sorted(range(len(examples)), key=lambda i: (examples[i].question, examples[i].ids))
    shards, filled = list[list[int]](), tokens
    for index in order:
        if filled >= tokens:
            shards.append([])
            filled = 0
        shards[-1].append(index)
        filled += len(examples[index].ids)
    return shards


def _load(path: Path, name: str) -> Tensor:
    try:
        return load_file(path)[name]
    except (SafetensorError, KeyError) as error:
        reason = f"the {name} that were kept can't be read ({error}); delete the file"
        raise InputError(reason, file=str(path)) from error
