"""Weights to step scores. What needs a model loads torch on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rung.score.oracle import LabelScorer, RandomScorer
from rung.score.stream import score_records, score_windows

if TYPE_CHECKING:
    from rung.score.reward import RewardScorer, load_scorer

__all__ = [
    "LabelScorer",
    "RandomScorer",
    "RewardScorer",
    "load_scorer",
    "score_records",
    "score_windows",
]


def __getattr__(name: str) -> Any:
    if name not in ("RewardScorer", "load_scorer"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rung.score import reward

    return getattr(reward, name)
