"""A frozen trunk is run once: its hidden states at the targets are kept for all epochs.

They lie in the run's folder, ``state/features-00000.safetensors`` and so on, a file for some
chains each, so a killed run goes on with the chains that are missing. Dropout that a trunk's
config asks for is off in them; without it, training on them is training with the trunk.

Shape letters: K targets of an example, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    paths = [out / STATE_FOLDER / f"features-{k:05}.safetensors" for k in range(len(shards))]
    missing = [(path, k) for path, k in zip(paths, shards, strict=True) if not path.exists()]
    if missing:
        progress.start("running the frozen trunk", len(missing))
        engine = PrefixEngine(trunk.eval().to(device), batch_tokens=settings.batch_tokens)
        for path, indices in missing:
            requests = [Request(examples[i].ids, examples[i].reads) for i in indices]
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
                features_KD = engine.features(requests)
            with replacing(path) as aside:
                save_file({"features": features_KD.cpu().contiguous()}, aside)
            progress.advance()
    found: dict[int, Tensor] = {}
    for path, indices in zip(paths, shards, strict=True):
        sizes = [len(examples[i].reads) for i in indices]
        found |= zip(indices, _load(path).split(sizes), strict=True)
    return [found[i] for i in range(len(examples))]


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


def _load(path: Path) -> Tensor:
    try:
        return load_file(path)["features"]
    except (SafetensorError, KeyError) as error:
        reason = f"the trunk's features can't be read ({error}); delete the file"
        raise InputError(reason, file=str(path)) from error
