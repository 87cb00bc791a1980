"""Opens the model that a reward model or a policy starts from. No remote code is run."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
import transformers
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from rung.core.errors import InputError
from rung.model.gguf import causal_lm_folder
from rung.model.reading import READING_FILE

WEIGHTS = "model.safetensors"
SHARDS_INDEX = "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"
PICKLE_INDEX = "pytorch_model.bin.index.json"
ADAPTER = "adapter_config.json"
"""What peft writes beside an adapter's weights."""
NO_PICKLE = (EOFError, pickle.UnpicklingError)
"""What torch raises for a pickle that is torn, or holds more than tensors."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


class LoadedModel(NamedTuple):
    """A transformers model with its tokenizer, and the name of what was loaded."""

    model: Any
    tokenizer: Any
    name: str


def load_trunk(
    source: str | Path, *, dtype: torch.dtype = torch.float32, trust_pickle: bool = False
) -> LoadedModel:
    """Open the layers below the heads: a decoder without an LM head.

    Args:
        source: A Hugging Face folder (of a causal LM, or a rung checkpoint), a GGUF file, or
            "smollm2" (see `causal_lm_folder`).
        dtype: The type of the weights.
        trust_pickle: Open ``pytorch_model.bin`` where there are no safetensors; only tensors are
            read (``weights_only``).

    Raises:
        InputError: Something is missing in the folder, or it can't be read.
    """
    return _load(transformers.AutoModel, Path(source), dtype, trust_pickle=trust_pickle)


def load_causal_lm(
    source: str | Path, *, dtype: torch.dtype = torch.float32, trust_pickle: bool = False
) -> LoadedModel:
    """Open a causal LM whole, from the same sources as `load_trunk`.

    Raises:
        InputError: It can't be read, or it is a reward model, which has no LM head.
    """
    if (Path(source) / READING_FILE).exists():
        reason = "this is a reward model, which can't write; expected a causal LM"
        raise InputError(reason, file=str(source))
    return _load(transformers.AutoModelForCausalLM, Path(source), dtype, trust_pickle=trust_pickle)


def load_tokenizer(folder: Path, config: Any = None) -> Any:
    """Open the tokenizer in a Hugging Face folder.

    Args:
        folder: Where it is.
        config: The model's config, if the folder's own names a type transformers doesn't know.

    Raises:
        InputError: There is none, or it can't be read.
    """
    if not any((folder / name).exists() for name in TOKENIZER_FILES):
        raise InputError("the folder lacks tokenizer.json", file=str(folder))
    try:
        return transformers.AutoTokenizer.from_pretrained(
            folder, config=config, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable("the tokenizer", error, folder) from error


def weight_files(folder: Path, *, trust_pickle: bool = False) -> list[Path]:
    """The files that hold a folder's weights, in order.

    They are safetensors; with `trust_pickle` pickles of transformers, where no safetensors are.

    Raises:
        InputError: The folder, or a file in it that is needed, is not there.
    """
    if not folder.is_dir():
        raise InputError("there is no such folder", file=str(folder))
    if not (folder / "config.json").exists():
        raise _no_config(folder)
    is_pickled = trust_pickle and _is_pickled(folder)
    whole, index = (PICKLE, PICKLE_INDEX) if is_pickled else (WEIGHTS, SHARDS_INDEX)
    names = {whole}
    if (folder / index).exists():
        names = set(msgspec.json.decode((folder / index).read_bytes())["weight_map"].values())
    for name in sorted(names):
        if not (folder / name).exists():
            reason = f"the folder lacks {name}" if is_pickled else _lacks(folder, name)
            raise InputError(reason, file=str(folder))
    return [folder / name for name in sorted(names)]


def has_safetensors(folder: Path) -> bool:
    """Whether the folder's weights are safetensors."""
    return (folder / WEIGHTS).exists() or (folder / SHARDS_INDEX).exists()


def read_config(folder: Path) -> dict[str, Any]:
    """What ``config.json`` says.

    Raises:
        InputError: It is not there, or is no JSON object.
    """
    path = folder / "config.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        raise _no_config(folder) from None
    except msgspec.DecodeError as error:
        raise InputError(f"this is no JSON object ({error})", file=str(path)) from None


def load_with(
    kind: Any,
    folder: Path,
    dtype: torch.dtype,
    *,
    config: Any = None,
    state_dict: dict[str, torch.Tensor] | None = None,
    use_safetensors: bool = True,
) -> Any:
    """Open a model by a class of transformers, from the folder's weights or a state dict.

    Args:
        kind: The class.
        folder: Where the weights are.
        dtype: Their type in memory.
        config: Another one than the folder's.
        state_dict: The weights, in place of the folder's.
        use_safetensors: False: from the folder's pickles, which the user trusts.

    Raises:
        InputError: It can't be read, or a weight is missing.
    """
    told: dict[str, Any] = {} if config is None else {"config": config}
    source = folder if state_dict is None else None
    if state_dict is not None:
        told["state_dict"] = state_dict
    try:
        # transformers draws random numbers while it opens a model
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            model, found = kind.from_pretrained(
                source,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=use_safetensors,
                weights_only=True,
                output_loading_info=True,
                **told,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, *NO_PICKLE) as error:
        raise _unreadable("the model", error, folder) from error
    missing = _untied(model, found["missing_keys"])
    if missing:
        reason = f"the weights lack {min(missing)} ({len(missing)} tensors in all)"
        raise InputError(reason, file=str(folder))
    return model


def _untied(model: Any, missing: Collection[str]) -> set[str]:
    """The missing weights, without those that are tied to others that are there.

    transformers ties while it opens a model; 5.23 was seen to leave it out in a process that had
    opened many models before (it replaces its class's `tie_weights` for a while).
    """
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
    for name in set(missing) & set(tied):
        if tied[name] not in missing:
            place, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(place), leaf, model.get_parameter(tied[name]))
    return {name for name in missing if tied.get(name, name) in missing}


@contextlib.contextmanager
def quiet_transformers() -> Generator[None]:
    """Keep transformers' loading reports and bars off the terminal."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def _load(kind: Any, source: Path, dtype: torch.dtype, *, trust_pickle: bool) -> LoadedModel:
    name = source.stem if source.suffix == ".gguf" else source.resolve().name
    folder = causal_lm_folder(source)
    weight_files(folder, trust_pickle=trust_pickle)
    tokenizer = load_tokenizer(folder)
    model = load_with(kind, folder, dtype, use_safetensors=not _is_pickled(folder))
    return LoadedModel(model, tokenizer, name)


def _is_pickled(folder: Path) -> bool:
    there = (folder / PICKLE).exists() or (folder / PICKLE_INDEX).exists()
    return there and not has_safetensors(folder)


def _unreadable(what: str, error: Exception, folder: Path) -> InputError:
    message = str(error).strip().splitlines() or [type(error).__name__]
    return InputError(f"{what} can't be read ({message[0]})", file=str(folder))


def _no_config(folder: Path) -> InputError:
    if (folder / ADAPTER).exists():
        reason = (
            "this is a LoRA adapter without the model it belongs to; merge the two first, as"
            " docs/guides/published-models.md shows"
        )
        return InputError(reason, file=str(folder))
    return InputError("the folder lacks config.json", file=str(folder))


def _lacks(folder: Path, name: str) -> str:
    pickles = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
    if pickles:
        return (
            f"the folder lacks {name}; pickled weights such as {pickles[0].name} are refused, as a"
            " pickle can run code when it is opened; if you trust where it comes from, rung train"
            f" and rung rl open {PICKLE} with --trust-pickle (trust_pickle=True in Python), and"
            " docs/guides/published-models.md shows how to write it anew"
        )
    return f"the folder lacks {name}"
