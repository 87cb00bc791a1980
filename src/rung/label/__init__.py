"""Where step labels and outcomes come from."""

from rung.label.arithmetic import AlgebraLabeler, ArithmeticLabeler
from rung.label.chat import ChatServer, LocalChat
from rung.label.code import CodeLabeler
from rung.label.consensus import agreed_labels, dawid_skene, noise_aware
from rung.label.findings import CheckedLabeler
from rung.label.intervals import Interval, anytime_interval, wilson_interval
from rung.label.judge import JudgeLabeler
from rung.label.judge_forms import make_form
from rung.label.lab import LabLabeler
from rung.label.next import Choice, next_to_label
from rung.label.noise import Confusion, Noise, SourceNoise, measure_noise, read_noise, write_noise
from rung.label.omega import OmegaForest, OmegaRule, Searched
from rung.label.outcome import with_answer, with_outcomes
from rung.label.reply_log import ReplyLog
from rung.label.rollout_source import RolloutLog, RolloutSource, label_by_rollouts
from rung.label.rollouts import Ask, Rollout, RolloutLabels, RolloutRule, Spent
from rung.label.rubric import Rubric, read_rubric

__all__ = [
    "AlgebraLabeler",
    "ArithmeticLabeler",
    "Ask",
    "ChatServer",
    "CheckedLabeler",
    "Choice",
    "CodeLabeler",
    "Confusion",
    "Interval",
    "JudgeLabeler",
    "LabLabeler",
    "LocalChat",
    "Noise",
    "OmegaForest",
    "OmegaRule",
    "ReplyLog",
    "Rollout",
    "RolloutLabels",
    "RolloutLog",
    "RolloutRule",
    "RolloutSource",
    "Rubric",
    "Searched",
    "SourceNoise",
    "Spent",
    "agreed_labels",
    "anytime_interval",
    "dawid_skene",
    "label_by_rollouts",
    "make_form",
    "measure_noise",
    "next_to_label",
    "noise_aware",
    "read_noise",
    "read_rubric",
    "wilson_interval",
    "with_answer",
    "with_outcomes",
    "write_noise",
]
