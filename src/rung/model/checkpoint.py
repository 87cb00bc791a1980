"""Reward models as folders: safetensors, config, tokenizer and ``rung.json``.

The layout is transformers' token classification with as many labels as the head has rows, so
where the trunk's family has such a class whose head is named ``score``, plain
AutoModelForTokenClassification opens the folder too.
"""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from huggingface_hub import save_torch_state_dict
from safetensors import safe_open
from transformers.modeling_layers import GenericForTokenClassification

from rung.core.errors import InputError, RungError
from rung.model.gguf import causal_lm_folder
from rung.model.reading import (
    CLASSES,
    READING_FILE,
    HeadName,
    Reading,
    load_reading,
    save_reading,
)
from rung.model.reward_model import RewardModel
from rung.model.trunk import LoadedModel, load_causal_lm, load_trunk, weight_files

HEAD = ("score.weight", "score.bias")
ASIDE = ".writing"


class LoadedRewardModel(NamedTuple):
    """A reward model ready to score, with all that says how."""

    model: RewardModel
    tokenizer: Any
    reading: Reading


def new_reward_model(
    source: str | Path,
    *,
    seed: int,
    head: HeadName = "scalar",
    label_words: tuple[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
    trust_pickle: bool = False,
) -> tuple[RewardModel, LoadedModel]:
    """A reward model with a new head on the trunk of `source` (see `load_trunk`).

    Args:
        source: Where the trunk is; a head of label tokens needs the LM head there too.
        seed: Of the head's weights.
        head: Its rows are `CLASSES[head]`. That of "tokens" starts as the LM head's rows of
            `label_words`, which depend on no seed.
        label_words: The right and the wrong word, each a single token.
        dtype: The type of the weights.
        trust_pickle: Open a pickled trunk.

    Raises:
        RungError: The trunk can't be opened, or a label word is no single token.
    """
    if head == "tokens":
        assert label_words is not None, "a head of label tokens needs its words"
        loaded = load_causal_lm(source, dtype=dtype, trust_pickle=trust_pickle)
        return _from_label_tokens(loaded, label_words)
    loaded = load_trunk(source, dtype=dtype, trust_pickle=trust_pickle)
    model = RewardModel(loaded.model, len(CLASSES[head]))
    model.reset_head(seed)
    return model, loaded


def save_reward_model(model: RewardModel, tokenizer: Any, reading: Reading, folder: Path) -> None:
    """Write a checkpoint into `folder`; it counts as there once ``rung.json`` is in place."""
    publish(
        folder,
        lambda aside: write_reward_model(model, tokenizer, reading, aside),
        last=READING_FILE,
    )


def write_reward_model(model: RewardModel, tokenizer: Any, reading: Reading, folder: Path) -> None:
    """Write a checkpoint's files, one after the other (see `save_reward_model`)."""
    prefix = model.trunk.base_model_prefix
    weights = {f"{prefix}.{name}": w for name, w in model.trunk.state_dict().items()}
    weights |= {f"score.{name}": w for name, w in model.score.state_dict().items()}
    save_torch_state_dict(weights, folder)
    _config(model.trunk, CLASSES[reading.head]).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_reading(reading, folder)


def load_reward_model(
    folder: str | Path, *, dtype: torch.dtype = torch.float32
) -> LoadedRewardModel:
    """Open a checkpoint that `save_reward_model` wrote, in evaluation mode.

    Args:
        folder: The checkpoint.
        dtype: The type of the trunk's weights; the head's stay in fp32.

    Raises:
        InputError: A file or a weight is missing or damaged; the sentence names it.
    """
    folder = Path(folder)
    files = weight_files(folder)
    reading = load_reading(folder)
    loaded = load_trunk(folder, dtype=dtype)
    num_rows = len(CLASSES[reading.head])
    model = RewardModel(loaded.model, num_rows)
    head = {name: w for file in files for name, w in _head_weights(file).items()}
    for name in HEAD:
        if name not in head:
            raise InputError(f"the weights lack {name}, the head", file=str(folder))
    model.score.float()
    try:
        model.score.load_state_dict({name.removeprefix("score."): head[name] for name in HEAD})
    except RuntimeError as error:
        shape = tuple(head["score.weight"].shape)
        reason = f"the head has shape {shape}, expected {num_rows} rows ({reading.head})"
        raise InputError(reason, file=str(folder)) from error
    return LoadedRewardModel(model.eval(), loaded.tokenizer, reading)


def weights_hash(folder: str | Path, files: Sequence[Path] = ()) -> str:
    """A short hash of the bytes of a checkpoint's weights: equal weights, equal hash.

    Args:
        folder: The checkpoint.
        files: The files that hold the weights; by default the folder's safetensors.
    """
    digest = hashlib.blake2b(digest_size=12)
    for path in files or weight_files(Path(folder)):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def trunk_hash(trunk: str | Path, *, trust_pickle: bool = False) -> str:
    """The same of the weights of a trunk or a policy: a folder, a GGUF file or "smollm2".

    Raises:
        RungError: They are not there, or pickles that are not trusted.
    """
    folder = causal_lm_folder(trunk)
    return weights_hash(folder, weight_files(folder, trust_pickle=trust_pickle))


def publish(folder: Path, write: Callable[[Path], None], *, last: str) -> None:
    """Let `write` fill an empty folder, then move its files into `folder`, `last` at the end.

    Whoever finds the file `last` in `folder` finds the other files too, whole and of one kind.
    """
    aside = folder / ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    write(aside)
    (folder / last).unlink(missing_ok=True)
    for path in sorted(aside.iterdir(), key=lambda path: (path.name == last, path.name)):
        path.replace(folder / path.name)
    aside.rmdir()


def _head_weights(file: Path) -> dict[str, torch.Tensor]:
    with safe_open(file, framework="pt") as weights:
        present = set(weights.keys())
        return {name: weights.get_tensor(name) for name in HEAD if name in present}


def _from_label_tokens(
    loaded: LoadedModel, label_words: tuple[str, str]
) -> tuple[RewardModel, LoadedModel]:
    lm_head = loaded.model.get_output_embeddings()
    right, wrong = (_token_id(word, loaded.tokenizer) for word in label_words)
    model = RewardModel(getattr(loaded.model, loaded.model.base_model_prefix), 2)
    with torch.no_grad():
        model.score.weight.copy_(lm_head.weight[[wrong, right]])
        if getattr(lm_head, "bias", None) is not None:
            model.score.bias.copy_(lm_head.bias[[wrong, right]])
    return model, loaded._replace(model=model.trunk)


def _token_id(word: str, tokenizer: Any) -> int:
    ids = tokenizer.encode(word, add_special_tokens=False)
    if len(ids) != 1:
        raise RungError(f"the label word {word!r} is {len(ids)} tokens of this trunk, expected one")
    return ids[0]


def _config(trunk: Any, classes: tuple[str, ...]) -> Any:
    config = copy.deepcopy(trunk.config)
    config.num_labels = len(classes)
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: row for row, name in enumerate(classes)}
    config.classifier_dropout = 0.0
    config.architectures = [_architecture(trunk)]
    return config


def _architecture(trunk: Any) -> str:
    known: Any = transformers.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING.get(type(trunk.config), None)
    if known is not None and issubclass(known, GenericForTokenClassification):
        return known.__name__
    return type(trunk).__name__
