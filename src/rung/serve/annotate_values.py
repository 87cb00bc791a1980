"""What the rating page and the server tell each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from rung.eval.raters import GoldAgreement
from rung.label.rating_desk import Answer
from rung.store.values import MAX_TEXT_CHARS, Event, Finish, Kind

MAX_EVENTS = 200
"""In one request."""
MAX_KEY_CHARS = 80
DAY_MS = 24 * 3600 * 1000

NO_NUL = r"^[^\x00]*$"
Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY_CHARS, pattern=NO_NUL)]
MaybeKey = Annotated[str | None, Field(max_length=MAX_KEY_CHARS, pattern=NO_NUL)]
Text = Annotated[str | None, Field(max_length=MAX_TEXT_CHARS, pattern=NO_NUL)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentEvent:
    """An event as the page sends it: `rung.store.values.Event`."""

    key: Key
    chain: Key
    kind: Kind
    step: MaybeKey = None
    parent: MaybeKey = None
    rating: Literal[-1, 0, 1] | None = None
    is_unsure: bool = False
    finish: Literal["bad_problem", "give_up"] | None = None
    """Only for what ratings don't say by themselves."""
    text: Text = None
    undoes: MaybeKey = None
    scores_shown: bool = False
    took_ms: Annotated[int | None, Field(ge=0, le=DAY_MS)] = None
    at_ms: Annotated[int | None, Field(ge=0, le=2**53)] = None


@dataclass(frozen=True, slots=True)
class Sent:
    """Events in the order in which they happened."""

    events: Annotated[Sequence[SentEvent], Field(max_length=MAX_EVENTS)]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of each."""

    answers: Sequence[Answer]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which kind of work is wanted: the next chain of the queue, or a disagreement to settle."""

    purpose: Literal["rate", "adjudicate"] = "rate"
    queue: MaybeKey = None
    """The name of the queue; None: all on which the person works, one after the other."""


@dataclass(frozen=True, slots=True)
class ShownKey:
    """The key of the event that scores are shown from now on."""

    key: Key
    at_ms: Annotated[int | None, Field(ge=0, le=2**53)] = None


@dataclass(frozen=True, slots=True)
class TaskStep:
    """A step, or one that could stand in its place."""

    id: str
    parent: str
    """The prefix that it follows."""
    text: str
    role: str | None
    observation: str | None
    """What came back, when the step called a tool."""
    is_own: bool = False
    """Whether the person wrote it."""


@dataclass(frozen=True, slots=True)
class Change:
    """A rating or a written step of this person's that stands."""

    key: str
    kind: Literal["rate", "write"]
    step: str
    rating: int | None
    is_unsure: bool


@dataclass(frozen=True, slots=True)
class Carried:
    """This person's rating of a step in another chain that holds it too."""

    step: str
    rating: int | None
    is_unsure: bool


@dataclass(frozen=True, slots=True)
class Opinions:
    """What others said of a step; told to whoever settles it."""

    step: str
    bad: int
    okay: int
    great: int
    unsure: int


@dataclass(frozen=True, slots=True)
class ScoredBy:
    """A scorer's reading of the chain, one score a step."""

    scorer: str
    scores: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A chain to work on, and where the person stands with it."""

    chain: str
    purpose: Literal["rate", "adjudicate"]
    question: str
    answer: str | None
    """The reference answer; None where there is none, or it is not to be shown."""
    root: str
    """The prefix that the first step follows."""
    steps: Sequence[TaskStep]
    alternatives: Sequence[TaskStep]
    changes: Sequence[Change]
    carried: Sequence[Carried]
    finish: Finish | None
    """How it was submitted; None while it is not."""
    reason: str | None
    opinions: Sequence[Opinions]
    has_scores: bool
    """Whether scores can be shown."""
    scores: Sequence[ScoredBy]
    """Empty until the person has asked for them."""
    previous: str | None
    """The chain that the person submitted before this one."""


@dataclass(frozen=True, slots=True)
class Given:
    """The next chain, or None: everything is done."""

    task: Task | None


@dataclass(frozen=True, slots=True)
class QueueLeft:
    """How far a queue is on which the person works."""

    name: str
    turns: int
    """Chains times people a chain, and gold chains (`rung.store.queues.Turns`)."""
    left: int
    """Of these, those that nobody has taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who the person is, what is done, and how rating is set up."""

    name: str
    is_lead: bool
    rate_all: bool
    """Rate every step; False: stop at the first bad one."""
    chains: int
    """Submitted by this person."""
    left: int
    """Turns left in the person's queues, for everybody together; what is in several counts in
    each."""
    turns: int
    """Chains times people a chain, and gold chains."""
    queues: Sequence[QueueLeft]
    """Those on which the person works, in order."""
    median_step_s: float | None
    """Of the person's latest ratings."""
    gold: GoldAgreement | None
    """Told late, so many at a time; None while there are fewer."""


def event_of(sent: SentEvent) -> Event:
    """The event as the store takes it."""
    return Event(
        key=sent.key,
        chain=sent.chain,
        kind=sent.kind,
        step=sent.step,
        parent=sent.parent,
        rating=None if sent.rating is None else int(sent.rating),  # JSON's true passes for 1
        is_unsure=sent.is_unsure,
        finish=sent.finish,
        text=sent.text,
        undoes=sent.undoes,
        scores_shown=sent.scores_shown,
        took_ms=sent.took_ms,
        at_ms=sent.at_ms,
    )
