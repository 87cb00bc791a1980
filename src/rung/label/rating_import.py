"""Ratings that were made elsewhere: chains with labels, put into a store as people's events.

PRM800K's rows, TRL's and rung's own files all come as chains with labels. Each source of labels
becomes a person of its own: PRM800K's labeler, `human:NAME`, or the source as it is called. What is
imported again adds nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection

from rung.core import ChainRecord, StepLabels
from rung.label.human import SOURCE
from rung.store.chains import BATCH, add_chains, add_steps
from rung.store.claims import import_claim
from rung.store.events import append_event
from rung.store.opening import now_ms
from rung.store.people import imported_person
from rung.store.queues import MAIN
from rung.store.values import Event, Finish, Person

FINISHES = ("found_error", "solution", "bad_problem", "give_up")


@dataclass(slots=True)
class Imported:
    """What an import came to."""

    chains: int = 0
    known_chains: int = 0
    alternatives: int = 0
    ratings: int = 0
    known_ratings: int = 0
    soft_labels: int = 0
    """Labels between 0 and 1: no person's rating, so left out."""


def import_ratings(
    connection: Connection, records: Iterable[ChainRecord], *, queue: str = MAIN
) -> Imported:
    """Add chains, and what their labels say as events of people who can't log in."""
    found = Imported()
    for batch in _families(records):
        mains = [main for main, _ in batch]
        added = add_chains(connection, [replace(main, labels=()) for main in mains], queue=queue)
        branches = [branch for _, others in batch for branch in others]
        add_steps(connection, branches)
        found.chains += added.new
        found.known_chains += added.known
        found.alternatives += len(branches)
        for main, others in batch:
            _import_family(connection, main, others, found)
    return found


def _families(
    records: Iterable[ChainRecord],
) -> Iterator[list[tuple[ChainRecord, list[ChainRecord]]]]:
    """Chains with the alternatives that follow them, so many at a time."""
    batch: list[tuple[ChainRecord, list[ChainRecord]]] = []
    for record in records:
        if record.meta.get("is_alternative") and batch and _is_branch(record, batch[-1][0]):
            batch[-1][1].append(record)
            continue
        if len(batch) == BATCH:
            yield batch
            batch = []
        batch.append((record, []))
    if batch:
        yield batch


def _is_branch(record: ChainRecord, main: ChainRecord) -> bool:
    parent = record.chain.prefix(len(record.chain.steps) - 1).prefix_id
    places = {main.chain.problem.root_id, *(step.id for step in main.chain.steps)}
    return parent in places


def _import_family(
    connection: Connection, main: ChainRecord, others: list[ChainRecord], found: Imported
) -> None:
    for labels in _ratings_of(main):
        person = imported_person(connection, _name(labels, main))
        clerk = _Clerk(connection, person, main, found)
        clerk.note(main, labels, range(len(main.chain.steps)))
        for other in others:
            own = other.labels_from(labels.source)
            if own is not None:
                clerk.note(other, own, [len(other.chain.steps) - 1])
        clerk.end(labels)


def _ratings_of(record: ChainRecord) -> list[StepLabels]:
    """What single people said, if the record has that; else what it has."""
    own = [y for y in record.labels if y.source.startswith(f"{SOURCE}:")]
    return own or [y for y in record.labels if any(label is not None for label in y.labels)]


def _name(labels: StepLabels, record: ChainRecord) -> str:
    if labels.source == SOURCE and record.meta.get("labeler"):
        return str(record.meta["labeler"])
    return labels.source.removeprefix(f"{SOURCE}:")


@dataclass(slots=True)
class _Clerk:
    """Writes down what one person said in a file."""

    connection: Connection
    person: Person
    main: ChainRecord
    found: Imported

    def note(self, record: ChainRecord, labels: StepLabels, places: Iterable[int]) -> None:
        flagged = record.meta.get("flagged_steps", ())
        for k in places:
            rating, is_unsure = self._rating(labels, k), k in flagged
            if rating is None and not is_unsure:
                continue
            step = record.chain.steps[k].id
            self._append("rate", step=step, rating=rating, is_unsure=is_unsure)

    def end(self, labels: StepLabels) -> None:
        import_claim(self.connection, self.person, self.main.chain.prefix_id)
        took = self.main.meta.get("total_time_ms")
        finish = self._finish(labels)
        reason = "in the imported file" if finish in ("bad_problem", "give_up") else None
        self._append("submit", finish=finish, text=reason, took_ms=took and round(took))

    def _rating(self, labels: StepLabels, k: int) -> int | None:
        if labels.ratings is not None:
            return labels.ratings[k]
        label = labels.labels[k]
        if label is not None and label not in (0.0, 1.0):
            self.found.soft_labels += 1
            return None
        return None if label is None else (1 if label else -1)

    def _finish(self, labels: StepLabels) -> Finish:
        meta = self.main.meta
        known = meta.get("finish_reason") or meta.get("finish_reasons", {}).get(self.person.name)
        if known in FINISHES:
            return known
        return "solution" if labels.first_error is None else "found_error"

    def _append(self, kind: Any, **said: Any) -> None:
        chain, at_ms = self.main.chain.prefix_id, _time_ms(self.main)
        key = _key(chain, kind, said.get("step"), said.get("rating"), said.get("is_unsure"))
        event = Event(key=key, chain=chain, kind=kind, at_ms=at_ms, **said)
        is_new = append_event(self.connection, self.person.id, event, at_ms)
        if kind == "rate":
            self.found.ratings += is_new
            self.found.known_ratings += not is_new


def _key(*parts: Any) -> str:
    digest = hashlib.blake2b(msgspec.json.encode(parts), digest_size=12).hexdigest()
    return f"import:{digest}"


def _time_ms(record: ChainRecord) -> int:
    with contextlib.suppress(KeyError, TypeError, ValueError):
        read = datetime.fromisoformat(record.meta["timestamp"])
        return round(read.replace(tzinfo=read.tzinfo or UTC).timestamp() * 1000)
    return now_ms()
