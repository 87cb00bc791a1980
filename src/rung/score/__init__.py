"""Weights to step scores. What needs a model loads torch on demand."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rung.score.oracle import LabelScorer, RandomScorer
from rung.score.stream import score_records, score_windows

if TYPE_CHECKING:
    from rung.score.generative import GenPRM
    from rung.score.implicit import ImplicitScorer, load_implicit
    from rung.score.reward import RewardScorer, load_scorer
    from rung.score.session import ScoredStep, ScoringSession
    from rung.score.thinkprm import ThinkPRM

__all__ = [
    "GenPRM",
    "ImplicitScorer",
    "LabelScorer",
    "RandomScorer",
    "RewardScorer",
    "ScoredStep",
    "ScoringSession",
    "ThinkPRM",
    "load_implicit",
    "load_scorer",
    "score_records",
    "score_windows",
]


_HOME = {
    "GenPRM": "generative",
    "ImplicitScorer": "implicit",
    "RewardScorer": "reward",
    "ScoredStep": "session",
    "ScoringSession": "session",
    "ThinkPRM": "thinkprm",
    "load_implicit": "implicit",
    "load_scorer": "reward",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
