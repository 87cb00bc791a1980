"""Which weights of a model learn: all, the last layers, the head alone, or adapters.

LoRA (arXiv 2106.09685) comes from peft: small adapters learn, the trunk's own weights stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from rung.core.errors import MissingExtraError, RungError
from rung.model.reward_model import RewardModel
from rung.train.settings import LORA_SCALE, Method

ADAPTERS = "default"
"""Their name."""
BASE, ADDED = ".base_layer", ".lora_"
"""In the names of a map's own weights and of what learns beside it, which peft gives them."""


def open_weights(model: RewardModel, method: Method, seed: int) -> Callable[[], None]:
    """Leave open what `method` trains; call what is returned once, when training is over.

    Raises:
        RungError: The model has no such part, or peft is not installed.
    """
    if method.lora is not None:
        return add_adapters(model.trunk, method.lora, seed)
    freeze(model.trunk, method.trainable)
    return lambda: None


def open_causal_lm(model: Any, lora: int | None, seed: int) -> Callable[[], None]:
    """Leave all of a causal LM open, or adapters of the rank `lora` alone.

    Call what is returned once, when training is over.

    Raises:
        RungError: The model has no such part, or peft is not installed.
    """
    if lora is None:
        return lambda: None
    model.requires_grad_(False)
    return add_adapters(model.base_model, lora, seed)


def freeze(trunk: Any, trainable: str) -> None:
    """Leave open what `trainable` names of a decoder: "all", "head" (nothing of it), or "last:K".

    The last K layers take the final norm with them.

    Raises:
        RungError: It names nothing that the model has.
    """
    if trainable == "all":
        return
    trunk.requires_grad_(False)
    if trainable == "head":
        return
    layers = _layers(trunk)
    kind, _, count = trainable.partition(":")
    if kind != "last" or not count.isdigit() or layers is None or not 0 < int(count) <= len(layers):
        most = len(layers or ())
        raise RungError(f"trainable is all, head or last:1 to last:{most}, not {trainable!r}")
    for layer in layers[-int(count) :]:
        layer.requires_grad_(True)
    children = list(trunk.children())
    for behind in children[children.index(layers) + 1 :] if layers in children else ():
        behind.requires_grad_(True)


def add_adapters(trunk: Any, rank: int, seed: int) -> Callable[[], None]:
    """Freeze `trunk` and put an adapter beside every linear map of its layers.

    The maps are named one by one: peft's own "all-linear" fails for a model without an output
    layer. A new adapter adds 0.

    Args:
        trunk: A transformers decoder; it is changed in place.
        rank: Of the adapters.
        seed: Of their weights.

    Returns:
        What adds the adapters to the trunk's weights and takes them out, so that the trunk is an
        ordinary one again.

    Raises:
        MissingExtraError: peft is not installed.
        RungError: The trunk has no layers with linear maps.
    """
    try:
        import peft
    except ModuleNotFoundError as error:
        raise MissingExtraError("peft", "train") from error
    maps = _linear_maps(trunk)
    if not maps:
        raise RungError(f"LoRA finds no linear maps in the layers of {type(trunk).__name__}")
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=LORA_SCALE * rank,
        target_modules=list(maps),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in maps.values()),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted: Any = peft.LoraModel(trunk, config, ADAPTERS)

    def merge() -> None:
        adapted.merge_and_unload()

    return merge


def saved_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """A causal LM's weights as `save_pretrained` would write them once adapters are merged.

    Each comes once, by its name in a checkpoint. The model stays as it is; what needs no sum is not
    copied.

    Args:
        model: A transformers causal LM, with adapters of `add_adapters` or without.
    """
    if int(transformers.__version__.partition(".")[0]) < 5:  # which has checkpoints' own names
        yield from _merged_weights(model)
        return
    from transformers.core_model_loading import revert_weight_conversion

    if not getattr(model, "_weight_conversions", None):
        yield from _merged_weights(model)
        return
    yield from revert_weight_conversion(model, dict(_merged_weights(model))).items()


def _merged_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    once = {name for name, _ in model.named_parameters()}
    again = {name for name, _ in model.named_parameters(remove_duplicate=False)} - once
    for name, weight in model.state_dict().items():
        if name in again or ADDED in name:
            continue
        if name.endswith(f"{BASE}.weight"):
            layer = model.get_submodule(name.removesuffix(f"{BASE}.weight"))
            weight = weight + layer.get_delta_weight(ADAPTERS).detach().to(weight.dtype)
        yield name.replace(BASE, ""), weight


def _layers(trunk: Any) -> nn.ModuleList | None:
    lists = (module for module in trunk.modules() if isinstance(module, nn.ModuleList))
    return max(lists, key=len, default=None)


def _linear_maps(trunk: Any) -> dict[str, nn.Module]:
    layers = _layers(trunk)
    inside = set[nn.Module]() if layers is None else set(layers.modules())
    named: dict[str, nn.Module] = dict(trunk.named_modules())
    return {
        name: module
        for name, module in named.items()
        if isinstance(module, nn.Linear | Conv1D) and module in inside
    }
