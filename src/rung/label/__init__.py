"""Where step labels and outcomes come from."""

from rung.label.arithmetic import ArithmeticLabeler
from rung.label.lab import LabLabeler
from rung.label.outcome import with_answer, with_outcomes

__all__ = ["ArithmeticLabeler", "LabLabeler", "with_answer", "with_outcomes"]
