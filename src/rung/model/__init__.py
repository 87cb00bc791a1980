"""The reward model itself: rendering, trunk and head, checkpoints. Names load torch on demand."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rung.model.checkpoint import (
        LoadedRewardModel,
        load_reward_model,
        new_reward_model,
        save_reward_model,
        trunk_hash,
        weights_hash,
    )
    from rung.model.reading import Reading
    from rung.model.rendering import Rendered, render, render_all
    from rung.model.reward_model import RewardModel
    from rung.model.trunk import LoadedModel, load_causal_lm, load_tokenizer, load_trunk

_HOME = {
    "LoadedModel": "trunk",
    "LoadedRewardModel": "checkpoint",
    "Reading": "reading",
    "Rendered": "rendering",
    "RewardModel": "reward_model",
    "load_causal_lm": "trunk",
    "load_reward_model": "checkpoint",
    "load_tokenizer": "trunk",
    "load_trunk": "trunk",
    "new_reward_model": "checkpoint",
    "render": "rendering",
    "render_all": "rendering",
    "save_reward_model": "checkpoint",
    "trunk_hash": "checkpoint",
    "weights_hash": "checkpoint",
}

__all__ = [
    "LoadedModel",
    "LoadedRewardModel",
    "Reading",
    "Rendered",
    "RewardModel",
    "load_causal_lm",
    "load_reward_model",
    "load_tokenizer",
    "load_trunk",
    "new_reward_model",
    "render",
    "render_all",
    "save_reward_model",
    "trunk_hash",
    "weights_hash",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
