"""Families of reward models: one file each says how chains become ids and where scores stand.

`FAMILIES` is the one list. A family is recognized from a folder's files; where two families have
equal files (a plain causal LM says nothing of how it was trained), the name must be given.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from safetensors import SafetensorError, safe_open

from rung.core.errors import InputError, RungError
from rung.model.families import own
from rung.model.reader import CheckpointFiles, Family, Reader
from rung.model.trunk import weight_files

FAMILIES: dict[str, Family] = {family.name: family for family in (own.FAMILY,)}
"""Every family by its name; an earlier one is preferred when several recognize a folder."""

AUTO = "auto"


class Recognized(NamedTuple):
    """The family of a folder, and why."""

    family: Family
    why: str


def recognize(folder: str | Path) -> Recognized:
    """Tell a folder's family from its files.

    Raises:
        RungError: No family recognizes it; the sentence lists their names.
    """
    files = checkpoint_files(Path(folder))
    for family in FAMILIES.values():
        why = family.recognize(files)
        if why is not None:
            return Recognized(family, why)
    raise InputError(
        "it has no rung.json, and nothing else in the files says how this model is read; name its"
        f" family: {_names()}",
        file=str(folder),
    )


def open_reader(
    folder: str | Path, family: str = AUTO, *, dtype: torch.dtype = torch.float32
) -> Reader:
    """Open a checkpoint of any family, on the CPU.

    Raises:
        RungError: The family is unknown or can't be told, or a file is missing or damaged.
    """
    if family == AUTO:
        return recognize(folder).family.open(Path(folder), dtype)
    if family not in FAMILIES:
        raise RungError(f"there is no family {family!r}; there are {_names()}")
    return FAMILIES[family].open(Path(folder), dtype)


def checkpoint_files(folder: Path) -> CheckpointFiles:
    """Read what a folder's files say, without loading weights.

    Raises:
        InputError: The folder is not there, or a file in it can't be read.
    """
    names = {name for path in weight_files(folder) for name in _tensor_names(path)}
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.exists() else ""
    return CheckpointFiles(folder, _config(folder / "config.json"), frozenset(names), text)


def _config(path: Path) -> dict[str, object]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except msgspec.DecodeError as error:
        raise InputError(f"this is no JSON object ({error})", file=str(path)) from None


def _tensor_names(path: Path) -> Sequence[str]:
    try:
        with safe_open(path, framework="pt") as weights:
            return list(weights.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(f"the model can't be read ({error})", file=str(path)) from error


def _names() -> str:
    return ", ".join(FAMILIES)
