"""Where step labels and outcomes come from."""

from rung.label.arithmetic import ArithmeticLabeler
from rung.label.intervals import Interval, anytime_interval, wilson_interval
from rung.label.lab import LabLabeler
from rung.label.next import Choice, next_to_label
from rung.label.omega import OmegaForest, OmegaRule, Searched
from rung.label.outcome import with_answer, with_outcomes
from rung.label.rollout_source import RolloutLog, RolloutSource, label_by_rollouts
from rung.label.rollouts import Ask, Rollout, RolloutLabels, RolloutRule, Spent

__all__ = [
    "ArithmeticLabeler",
    "Ask",
    "Choice",
    "Interval",
    "LabLabeler",
    "OmegaForest",
    "OmegaRule",
    "Rollout",
    "RolloutLabels",
    "RolloutLog",
    "RolloutRule",
    "RolloutSource",
    "Searched",
    "Spent",
    "anytime_interval",
    "label_by_rollouts",
    "next_to_label",
    "wilson_interval",
    "with_answer",
    "with_outcomes",
]
