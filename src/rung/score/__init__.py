"""Weights to step scores. What needs a model loads torch on demand."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rung.score.calibrated import CalibratedScorer, ModelScorer, calibrated
from rung.score.calibration import Isotonic, Temperature, fit_isotonic, fit_temperature
from rung.score.oracle import LabelScorer, RandomScorer
from rung.score.stream import score_records, score_windows

if TYPE_CHECKING:
    from rung.score.remote import RemoteScorer, remote_scorer
    from rung.score.reward import RewardScorer, load_scorer
    from rung.score.session import ScoredStep, ScoringSession

_HOME = {
    "RemoteScorer": "remote",
    "RewardScorer": "reward",
    "ScoredStep": "session",
    "ScoringSession": "session",
    "load_scorer": "reward",
    "remote_scorer": "remote",
}

__all__ = [
    "CalibratedScorer",
    "Isotonic",
    "LabelScorer",
    "ModelScorer",
    "RandomScorer",
    "RemoteScorer",
    "RewardScorer",
    "ScoredStep",
    "ScoringSession",
    "Temperature",
    "calibrated",
    "fit_isotonic",
    "fit_temperature",
    "load_scorer",
    "remote_scorer",
    "score_records",
    "score_windows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
