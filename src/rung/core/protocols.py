"""What a user's own object must offer to work with rung, and what rung's parts offer.

Nothing needs to inherit from these: any object with the methods will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    inside_step: bool = False
    """The prefixes' last steps are not whole: write on inside them. Asked only of generators that
    say so with a true `writes_inside_steps`."""
    logprobs: bool = False
    """Keep the steps' log-probabilities (`Provenance.step_logprobs`), where the policy can."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Completing:
    """How prompts are completed."""

    max_tokens: int
    """Tokens a completion may have."""
    temperature: float = 1.0
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    top_k: int | None = None
    """Draw from so many of the likeliest tokens; None: from all."""
    seed: int = 0
    stop: tuple[str, ...] = ()
    """A completion ends before the first of these."""
    num_logprobs: int = 0
    """For so many of the likeliest tokens at every place the log-probability is given back."""
    logprobs_of: tuple[int, ...] = ()
    """Tokens whose log-probability is given back too, however unlikely they are. A completer on a
    server that can't do so leaves them out."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What was written behind a prompt."""

    text: str
    """Without the stop string."""
    token_ids: tuple[int, ...] = ()
    """All tokens that were written, those of the stop string too; the end token is left out."""
    top_logprobs: tuple[Mapping[int, float], ...] = ()
    """For each of `token_ids` the log-probabilities of the likeliest tokens, of the written one
    and of those asked for, under the model itself, before temperature, top-p and top-k. Empty for a
    token of which a server tells nothing, and () where it tells of none."""
    stop: str | None = None
    """The stop string that ended it; None if the model or `max_tokens` did."""
    finish_reason: Literal["stop", "length"] = "stop"
    """"length" when it was cut off by `max_tokens` or the context."""


@runtime_checkable
class Completer(Protocol):
    """A language model as it is: text in, text out. Generative reward models write through it."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    def complete(self, prompts: Sequence[str], how: Completing) -> list[Completion]:
        """One completion a prompt, in order; a prompt given twice is completed in two ways.

        Names of special tokens in a prompt are special tokens. A prompt that fills the context
        is completed by nothing, with "length" for the reason.
        """
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
