"""What a checker found out about each step of a chain, in words and as a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rung.core import Chain, Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one step."""

    status: str
    """In a word or two, the checker's own: "follows", "does-not-follow", "timeout", ..."""
    label: float | None
    """1 right, 0 wrong, None where nothing was found out."""
    detail: str = ""
    """A counterexample, or why."""

    def __str__(self) -> str:
        return f"{self.status}: {self.detail}" if self.detail else self.status


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found out about one chain."""

    steps: tuple[Finding, ...]
    outcome: Verdict | None = None
    """None when the checker says nothing of the chain as a whole."""

    @property
    def labels(self) -> tuple[float | None, ...]:
        """One label a step."""
        return tuple(step.label for step in self.steps)


class StepChecker(Protocol):
    """Checks the steps of chains. Never raises on a model's text."""

    def can_check(self, chain: Chain) -> bool:
        """Whether the chain holds something to check."""
        ...

    def check(self, chains: Sequence[Chain]) -> list[Findings]:
        """One `Findings` a chain, in order; of chains that it can check."""
        ...
