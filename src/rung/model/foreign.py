"""Opens checkpoints that others published: native classes, heads by name, no code of theirs.

A published folder may name an architecture that only its own Python file defines, keep a head
beside the trunk, hold a bare state dict, or be a pickle. Here the trunk is always a decoder that
transformers ships, and everything else is a tensor that is asked for by name.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
import transformers
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rung.core.errors import InputError
from rung.model.trunk import (
    PICKLE_INDEX,
    has_safetensors,
    load_tokenizer,
    load_with,
    read_config,
    weight_files,
)

NO_WEIGHTS = re.compile(r"training_args\.bin|(optimizer|scheduler|scaler|rng_state).*")
"""Pickles that trainers leave beside the weights."""
WRAPPER = "pretrained_model."
"""What TRL's value-head wrapper puts before the names of the trunk."""
EMBEDDING = re.compile(r"(model\.)?embed_tokens\.weight")


class Stored(NamedTuple):
    """A tensor that need not be in memory."""

    read: Callable[[], Tensor]
    num_rows: Callable[[], int]
    """Its first dimension, without reading it."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of a checkpoint by name; each is read when it is asked for."""

    folder: Path
    files: tuple[Path, ...]
    tensors: Mapping[str, Stored]
    """By name, without a wrapper's prefix."""
    is_native: bool
    """Whether transformers can open the files itself: safetensors with names as they are."""

    def get(self, name: str) -> Tensor | None:
        """One tensor; None where there is none of this name."""
        return self[name] if name in self.tensors else None

    def __getitem__(self, name: str) -> Tensor:
        """One tensor.

        Raises:
            InputError: It is not there, or its file is damaged.
        """
        if name not in self.tensors:
            raise InputError(f"the weights lack {name}, the head", file=str(self.folder))
        return self.tensors[name].read()


@dataclass(frozen=True, slots=True)
class Foreign:
    """A published checkpoint: a trunk of transformers, its tokenizer, and all its tensors."""

    trunk: Any
    tokenizer: Any
    weights: Weights

    @property
    def config(self) -> Any:
        """The trunk's config; keys that only the authors' code knows stand in it too."""
        return self.trunk.config


def open_foreign(folder: Path, *, dtype: torch.dtype, trust_pickle: bool) -> Foreign:
    """Open a published checkpoint, in evaluation mode.

    The vocabulary is as large as the embedding in the weights, whatever the config says, as
    authors resize embeddings and save weights alone.

    Args:
        folder: Where ``config.json``, the tokenizer and the weights are.
        dtype: The type of the trunk's weights.
        trust_pickle: Whether pickled weights may be opened (with ``weights_only``).

    Raises:
        InputError: Something is missing or damaged, the weights are pickled and not trusted, or
            transformers has no class of its own for the architecture.
    """
    weights = open_weights(folder, trust_pickle=trust_pickle)
    config = native_config(folder)
    for name in filter(EMBEDDING.fullmatch, weights.tensors):
        config.vocab_size = weights.tensors[name].num_rows()
    if weights.is_native:
        trunk = load_with(transformers.AutoModel, folder, dtype, config=config)
    else:
        kind = transformers.MODEL_MAPPING[type(config)]
        state = {name: w.read() for name, w in weights.tensors.items() if _is_trunk(name)}
        trunk = load_with(kind, folder, dtype, config=config, state_dict=state)
    return Foreign(trunk.eval(), load_tokenizer(folder, config), weights)


def native_config(folder: Path) -> Any:
    """The config of a folder as a class of transformers, without a trace of remote code.

    Raises:
        InputError: Neither ``model_type`` nor the architecture's name is one transformers knows.
    """
    told = read_config(folder)
    architecture = str((told.get("architectures") or [""])[0])
    by_name = re.match(r"[A-Za-z0-9]+?(?=For|Model|$)", architecture)
    kinds = (str(told.get("model_type", "")), by_name.group().lower() if by_name else "")
    for kind in kinds:
        if kind in transformers.CONFIG_MAPPING:
            plain = {key: value for key, value in told.items() if key != "auto_map"}
            return transformers.CONFIG_MAPPING[kind].from_dict(plain | {"model_type": kind})
    reason = (
        f"transformers has no class for {architecture or kinds[0]!r}, and remote code is not run"
    )
    raise InputError(reason, file=str(folder / "config.json"))


def open_weights(folder: Path, *, trust_pickle: bool) -> Weights:
    """Find all tensors of a folder: safetensors, or pickles if there are none and they are trusted.

    Raises:
        InputError: There are none, they are damaged, or pickles are not trusted.
    """
    pickles = pickle_files(folder)
    if has_safetensors(folder) or not pickles:
        files = tuple(weight_files(folder))
        found = {name: _in_file(path, name) for path in files for name in names_in(path)}
    else:
        files = tuple(pickles)
        loaded = [load_pickle(path, trust_pickle=trust_pickle) for path in files]
        found = {name: _in_memory(w) for state in loaded for name, w in state.items()}
    tensors = {name.removeprefix(WRAPPER): stored for name, stored in found.items()}
    is_native = files[0].suffix == ".safetensors" and tensors.keys() == found.keys()
    return Weights(folder, files, tensors, is_native)


def weights_of(folder: Path, tensors: Mapping[str, Tensor]) -> Weights:
    """Tensors that are in memory, as the weights of a folder."""
    return Weights(folder, (), {name: _in_memory(w) for name, w in tensors.items()}, False)


def pickle_files(folder: Path) -> list[Path]:
    """The folder's pickled weights, in order: what the index names, or every pickle of weights."""
    index = folder / PICKLE_INDEX
    if index.exists():
        names = set(msgspec.json.decode(index.read_bytes())["weight_map"].values())
        return [folder / name for name in sorted(names)]
    found = [path for ending in ("bin", "pt", "pth") for path in folder.glob(f"*.{ending}")]
    return sorted(path for path in found if not NO_WEIGHTS.fullmatch(path.name))


def load_pickle(path: Path, *, trust_pickle: bool) -> dict[str, Tensor]:
    """A state dict from a pickle, opened with ``weights_only`` if the user trusts it.

    Raises:
        InputError: It is not trusted, not there, or holds anything but tensors by name.
    """
    if not trust_pickle:
        raise InputError(
            "pickled weights are refused, as a pickle can run code when it is opened; if you trust"
            " where it comes from, give --trust-pickle (trust_pickle=True in Python)",
            file=str(path),
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(
            f"the pickle can't be read ({_first_line(error)})", file=str(path)
        ) from None
    if not isinstance(state, dict) or not all(isinstance(w, Tensor) for w in state.values()):
        raise InputError("the pickle holds something else than tensors by name", file=str(path))
    return state


def names_in(path: Path) -> list[str]:
    """The names of the tensors in a safetensors file.

    Raises:
        InputError: It can't be read.
    """
    try:
        with safe_open(path, framework="pt") as weights:
            return list(weights.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(f"the model can't be read ({error})", file=str(path)) from error


def _in_file(path: Path, name: str) -> Stored:
    def read() -> Tensor:
        with safe_open(path, framework="pt") as weights:
            return weights.get_tensor(name)

    def num_rows() -> int:
        with safe_open(path, framework="pt") as weights:
            return weights.get_slice(name).get_shape()[0]

    return Stored(read, num_rows)


def _in_memory(tensor: Tensor) -> Stored:
    return Stored(lambda: tensor, lambda: tensor.shape[0])


def _is_trunk(name: str) -> bool:
    return name.split(".")[0] in ("model", "layers", "embed_tokens", "norm")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
