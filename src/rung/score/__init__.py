"""Weights to step scores. What needs a model loads torch on demand."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rung.score.oracle import LabelScorer, RandomScorer
from rung.score.stream import score_records, score_windows

if TYPE_CHECKING:
    from rung.score.reward import RewardScorer, load_scorer
    from rung.score.session import ScoredStep, ScoringSession

__all__ = [
    "LabelScorer",
    "RandomScorer",
    "RewardScorer",
    "ScoredStep",
    "ScoringSession",
    "load_scorer",
    "score_records",
    "score_windows",
]


_HOME = {
    "RewardScorer": "reward",
    "ScoredStep": "session",
    "ScoringSession": "session",
    "load_scorer": "reward",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
