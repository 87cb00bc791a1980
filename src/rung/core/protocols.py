"""What a user's own object must offer to work with rung, and what rung's parts offer.

Nothing needs to inherit from these: any object with the methods will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from rung.core.types import Chain, StepLabels, StepScores, Verdict


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a policy is sampled."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 512
    """Tokens a call may add to one prefix."""
    seed: int = 0
    until: Literal["end", "step"] = "end"
    """Write to the chain's end, or only to the end of the next step."""


@runtime_checkable
class Generator(Protocol):
    """A policy: continues prefixes."""

    @property
    def name(self) -> str:
        """The policy's name, kept in the chains' provenance."""
        ...

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        """Continue each prefix `n` ways: B prefixes give B lists of `n` chains."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """Scores the steps of chains: a PRM, an ORM, a judge, rollouts or the truth."""

    @property
    def name(self) -> str:
        """The scorer's name, kept in the scores."""
        ...

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """One `StepScores` a chain, in order, as many scores as the chain has steps."""
        ...


@runtime_checkable
class Verifier(Protocol):
    """Checks final answers. Never raises on a model's text."""

    def verify(self, chains: Sequence[Chain]) -> list[Verdict]:
        """One verdict a chain, in order."""
        ...


@runtime_checkable
class Labeler(Protocol):
    """Makes step labels: chains in, one `StepLabels` a chain out."""

    @property
    def source(self) -> str:
        """The name under which the labels are kept."""
        ...

    def label(self, chains: Sequence[Chain]) -> list[StepLabels]:
        """One `StepLabels` a chain, in order."""
        ...


class Progress(Protocol):
    """Where long work says how far it is. `rung.core.progress` has the silent one."""

    def start(self, what: str, total: int | None = None) -> None:
        """A new stage begins; `total` units when known."""
        ...

    def advance(self, units: int = 1, note: str = "") -> None:
        """`units` more are done; `note` is shown beside the bar."""
        ...

    def log(self, message: str) -> None:
        """One line for the person who watches."""
        ...
