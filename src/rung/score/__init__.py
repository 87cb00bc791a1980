"""Weights to step scores. What needs a model loads torch on demand."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rung.score.calibrated import CalibratedScorer, ModelScorer, calibrated
from rung.score.calibration import Isotonic, Temperature, fit_isotonic, fit_temperature
from rung.score.ensemble import LabelingScorer, StrictestScorer
from rung.score.oracle import LabelScorer, RandomScorer
from rung.score.stream import score_records, score_windows

if TYPE_CHECKING:
    from rung.score.completion_server import ServerCompleter, server_completer
    from rung.score.generative import GenPRM
    from rung.score.implicit import ImplicitScorer, load_implicit
    from rung.score.others import code_runner
    from rung.score.remote import RemoteScorer, remote_scorer
    from rung.score.reward import RewardScorer, load_scorer
    from rung.score.session import ScoredStep, ScoringSession
    from rung.score.thinkprm import ThinkPRM

_HOME = {
    "GenPRM": "generative",
    "ImplicitScorer": "implicit",
    "RemoteScorer": "remote",
    "RewardScorer": "reward",
    "ScoredStep": "session",
    "ScoringSession": "session",
    "ServerCompleter": "completion_server",
    "ThinkPRM": "thinkprm",
    "code_runner": "others",
    "load_implicit": "implicit",
    "load_scorer": "reward",
    "remote_scorer": "remote",
    "server_completer": "completion_server",
}

__all__ = [
    "CalibratedScorer",
    "GenPRM",
    "ImplicitScorer",
    "Isotonic",
    "LabelScorer",
    "LabelingScorer",
    "ModelScorer",
    "RandomScorer",
    "RemoteScorer",
    "RewardScorer",
    "ScoredStep",
    "ScoringSession",
    "ServerCompleter",
    "StrictestScorer",
    "Temperature",
    "ThinkPRM",
    "calibrated",
    "code_runner",
    "fit_isotonic",
    "fit_temperature",
    "load_implicit",
    "load_scorer",
    "remote_scorer",
    "score_records",
    "score_windows",
    "server_completer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
