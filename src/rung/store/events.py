"""What people did, in the order in which it was saved. Rows are added, never changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from rung.store.inserting import inserted
from rung.store.opening import now_ms
from rung.store.tables import events
from rung.store.values import Event, Saved

BATCH = 500
_FIELDS = (
    *("key", "chain", "kind", "step", "rating", "is_unsure", "finish", "text", "undoes"),
    *("scores_shown", "took_ms", "at_ms"),
)


def append_event(
    connection: Connection, person: int, event: Event, saved_ms: int | None = None
) -> bool:
    """Keep an event; False when the person's event of this key is there already."""
    row = {name: getattr(event, name) for name in _FIELDS}
    saved_ms = now_ms() if saved_ms is None else saved_ms
    return inserted(connection, events, {**row, "person": person, "saved_ms": saved_ms})


def event_with_key(connection: Connection, person: int, key: str) -> Saved | None:
    """The person's event of this key; None where there is none."""
    wanted = select(events).where(events.c.person == person, events.c.key == key)
    row = connection.execute(wanted).first()
    return None if row is None else _saved(row)


def events_of(connection: Connection, person: int, chains: Sequence[str]) -> list[Saved]:
    """What a person did to some chains."""
    found: list[Saved] = []
    for start in range(0, len(chains), BATCH):
        mine = events.c.person == person, events.c.chain.in_(chains[start : start + BATCH])
        found += _all(connection, select(events).where(*mine))
    return sorted(found, key=lambda saved: saved.seq)


def last_times_ms(connection: Connection, person: int, count: int) -> list[int]:
    """How long a person took for the latest ratings."""
    mine = events.c.person == person, events.c.kind == "rate", events.c.took_ms.is_not(None)
    wanted = select(events.c.took_ms).where(*mine).order_by(events.c.seq.desc()).limit(count)
    return list(connection.execute(wanted).scalars())


def events_on(connection: Connection, chain: str) -> list[Saved]:
    """What everybody did to a chain."""
    return list(_all(connection, select(events).where(events.c.chain == chain)))


def all_events(connection: Connection) -> Iterator[Saved]:
    """What everybody did to every chain."""
    return _all(connection, select(events))


def events_after(connection: Connection, seq: int) -> Iterator[Saved]:
    """What everybody did after an event, by its number."""
    return _all(connection, select(events).where(events.c.seq > seq))


def count_events(connection: Connection, *, up_to: int) -> int:
    """How many there are up to a number."""
    counted = select(func.count()).where(events.c.seq <= up_to)
    return connection.execute(counted).scalar_one()


def chains_rated_at(connection: Connection, person: int, steps: Sequence[str]) -> list[str]:
    """The chains in which a person rated one of these steps."""
    found: set[str] = set()
    for start in range(0, len(steps), BATCH):
        mine = events.c.person == person, events.c.step.in_(steps[start : start + BATCH])
        found.update(connection.execute(select(events.c.chain).where(*mine)).scalars())
    return sorted(found)


def _all(connection: Connection, wanted: Select[Any]) -> Iterator[Saved]:
    return map(_saved, connection.execute(wanted.order_by(events.c.seq)))


def _saved(row: Row[Any]) -> Saved:
    fields = {name: getattr(row, name) for name in _FIELDS}
    return Saved(row.seq, row.person, row.saved_ms, Event(**fields))
