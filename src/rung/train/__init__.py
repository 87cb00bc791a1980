"""Labels to weights: examples, batches, losses, one loop. Names load torch on demand."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rung.train.settings import (
    ImplicitTraining,
    Method,
    Optimization,
    PolicyTraining,
    RewardTraining,
    TargetCounts,
    TrainingReport,
)

if TYPE_CHECKING:
    from rung.train.implicit import train_implicit
    from rung.train.policy import train_policy
    from rung.train.reward import train_reward

_HOME = {"train_implicit": "implicit", "train_policy": "policy", "train_reward": "reward"}

__all__ = [
    "ImplicitTraining",
    "Method",
    "Optimization",
    "PolicyTraining",
    "RewardTraining",
    "TargetCounts",
    "TrainingReport",
    "train_implicit",
    "train_policy",
    "train_reward",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
