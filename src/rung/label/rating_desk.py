"""Take people's events: each is checked, kept once, and answered.

A page that lost the answer sends its events again; the same key is the same event. One that is
refused says why, and the others are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy import Connection

from rung.core import RungError, Step
from rung.core.types import step_id
from rung.label.human import (
    UNDOABLE,
    StepRating,
    Work,
    check_event,
    finish_of,
    ratings_by_step,
    work_of,
    works_of,
)
from rung.store.chains import add_step, step_parent
from rung.store.claims import path_held
from rung.store.events import append_event, chains_rated_at, event_with_key, events_of
from rung.store.values import WRITTEN, ChainPath, Event, Finish, Person

Status = Literal["saved", "known", "refused"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an event."""

    key: str
    status: Status
    step: str | None = None
    """The id of the step that is rated or was written."""
    reason: str | None = None
    """Why it was refused."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a person stands with a chain."""

    work: Work
    rated: Mapping[str, StepRating]
    """The person's ratings of the steps here, those given in other chains too."""
    finish: Finish | None
    """How it would end if it were submitted now; None while there is more to rate."""


def accept(
    connection: Connection, person: Person, events: Sequence[Event], *, rate_all: bool
) -> list[Answer]:
    """Keep what can be kept, in order, and answer each event."""
    desk = _Desk(connection, person, rate_all)
    return [desk.answer(event) for event in events]


def standing(
    connection: Connection, person: Person, chain: ChainPath, *, rate_all: bool
) -> Standing:
    """Where a person stands with a chain; steps that chains share are rated once."""
    others = {chain.id, *chains_rated_at(connection, person.id, chain.step_ids)}
    works = works_of(events_of(connection, person.id, sorted(others)))
    work = works.get((person.id, chain.id), Work())
    latest = ratings_by_step(works)
    steps = [*chain.step_ids, *work.rated]
    rated = {step: latest[step][person.id] for step in steps if step in latest}
    return Standing(work, rated, finish_of(chain.step_ids, rated, rate_all=rate_all))


@dataclass(slots=True)
class _Desk:
    connection: Connection
    person: Person
    rate_all: bool

    def answer(self, event: Event) -> Answer:
        """Keep an event; one that was kept before may make no sense a second time."""
        try:
            completed = self._checked(event)
        except RungError as error:
            return self._known(event) or Answer(event.key, "refused", reason=str(error))
        if append_event(self.connection, self.person.id, completed):
            return Answer(event.key, "saved", completed.step)
        known = self._known(event)
        return known or Answer(event.key, "refused", reason="another event has this key")

    def _known(self, event: Event) -> Answer | None:
        """The answer to an event that was kept before."""
        known = event_with_key(self.connection, self.person.id, event.key)
        if known is None or (known.event.chain, known.event.kind) != (event.chain, event.kind):
            return None
        return Answer(event.key, "known", known.event.step)

    def _checked(self, event: Event) -> Event:
        check_event(event)
        chain = path_held(self.connection, self.person.id, event.chain)
        if chain is None:
            raise RungError("this chain was not given to you")
        return self._completed(event, chain)

    def _completed(self, event: Event, chain: ChainPath) -> Event:
        """The event with what only the server knows; raises where it makes no sense."""
        match event.kind:
            case "rate":
                return replace(event, step=self._rated_step(event, chain), parent=None)
            case "write":
                return self._written(event, chain)
            case "undo":
                self._check_undo(event)
            case "submit":
                return replace(event, finish=self._finish(event, chain))
            case "reopen":
                if self._work(chain).finish is None:
                    raise RungError("this chain is not submitted")
            case "show_scores":
                pass
        return event

    def _rated_step(self, event: Event, chain: ChainPath) -> str:
        step = event.step or ""
        if step.startswith(WRITTEN):
            key = step.removeprefix(WRITTEN)
            written = event_with_key(self.connection, self.person.id, key)
            step = (written.event.step if written else None) or step
        if step in chain.step_ids:
            return step
        if step_parent(self.connection, step) not in chain.places:
            raise RungError(f"the chain has no step {step!r}, and none that could replace one")
        return step

    def _written(self, event: Event, chain: ChainPath) -> Event:
        parent, text = event.parent or "", (event.text or "").strip()
        if parent not in chain.places:
            raise RungError(f"the chain has no step {parent!r} that the written one could follow")
        step = Step(text)
        step = replace(step, id=step_id(parent, step))
        if step_parent(self.connection, step.id) is None:
            add_step(self.connection, parent, step, self.person.id)
        return replace(event, step=step.id, parent=None, text=text)

    def _check_undo(self, event: Event) -> None:
        target = event_with_key(self.connection, self.person.id, event.undoes or "")
        if target is None or target.event.chain != event.chain:
            raise RungError("there is no event of yours on this chain to take back")
        if target.event.kind not in UNDOABLE:
            raise RungError("only ratings and written steps can be taken back")

    def _finish(self, event: Event, chain: ChainPath) -> Finish:
        stands = standing(self.connection, self.person, chain, rate_all=self.rate_all)
        if stands.work.finish is not None:
            raise RungError("this chain is submitted already")
        if event.finish in ("bad_problem", "give_up"):
            return event.finish
        if stands.finish is None:
            raise RungError("there is more to rate: find the first bad step, or rate all steps")
        return stands.finish

    def _work(self, chain: ChainPath) -> Work:
        return work_of(events_of(self.connection, self.person.id, [chain.id]))
