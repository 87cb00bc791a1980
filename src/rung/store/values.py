"""What the store holds, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rung.core import ChainRecord

Role = Literal["rater", "lead", "import"]
"""A lead also sees the team and settles disagreements; an import is whoever rated in a file."""
Purpose = Literal["rate", "gold", "adjudicate"]
"""Why a person has a chain: its turn in the queue, a test of the person, or to settle it."""
Kind = Literal["rate", "write", "undo", "submit", "reopen", "show_scores"]
Finish = Literal["found_error", "solution", "bad_problem", "give_up"]
"""How work on a chain ended, in PRM800K's words."""

MAX_TEXT_CHARS = 2**14
"""Of a reason, or of a step that a person writes."""
MAX_NAME_CHARS = 80
WRITTEN = "write:"
"""`write:KEY` in an event's step is the step that the event KEY wrote."""


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who rates."""

    id: int
    name: str
    role: Role
    is_active: bool
    """False for a person without a token: removed, or known from a file only."""
    added_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that a person did to a chain."""

    key: str
    """Made where the event is made; the same key again is the same event."""
    chain: str
    kind: Kind
    step: str | None = None
    """The step that is rated, or that was written."""
    parent: str | None = None
    """What a written step follows: a step, or the problem's root; not kept, the step knows it."""
    rating: int | None = None
    is_unsure: bool = False
    finish: Finish | None = None
    text: str | None = None
    """Why a chain was given up or its problem is bad; a step as it was written."""
    undoes: str | None = None
    """The key of the event that this one takes back."""
    scores_shown: bool = False
    """Whether a scorer's scores were on the screen."""
    took_ms: int | None = None
    """Since the person's last act, while the page was in front."""
    at_ms: int | None = None
    """By the clock of whoever sent it."""


@dataclass(frozen=True, slots=True)
class Saved:
    """An event as it was kept."""

    seq: int
    """Grows with every event of the store."""
    person: int
    saved_ms: int
    """By the server's clock."""
    event: Event


@dataclass(frozen=True, slots=True)
class Claim:
    """A person has a chain to work on."""

    chain: str
    person: int
    purpose: Purpose
    slot: int | None
    """Which of the k people it is; `ADJUDICATOR`, or None for gold, which all may have."""
    at_ms: int


@dataclass(frozen=True, slots=True)
class ChainPath:
    """A chain by its ids alone."""

    id: str
    """That of its last step."""
    root: str
    """That of the problem's empty prefix."""
    step_ids: tuple[str, ...]

    @property
    def places(self) -> tuple[str, ...]:
        """The prefixes behind which a step of the chain stands, and the whole chain."""
        return (self.root, *self.step_ids)


@dataclass(frozen=True, slots=True)
class StoredChain:
    """A chain with its place in the queue."""

    id: str
    """That of its last step."""
    record: ChainRecord
    is_gold: bool

    @property
    def step_ids(self) -> tuple[str, ...]:
        """Its steps' ids, in order."""
        return tuple(step.id for step in self.record.chain.steps)

    @property
    def path(self) -> ChainPath:
        """Its ids alone."""
        return ChainPath(self.id, self.record.chain.problem.root_id, self.step_ids)


ADJUDICATOR = -1
"""The slot of the one who settles a chain."""
