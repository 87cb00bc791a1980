"""What people did, in the order in which it was saved. Rows are added, never changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, select

from rung.store.inserting import inserted
from rung.store.opening import now_ms
from rung.store.tables import events
from rung.store.values import Event, Saved

BATCH = 500
_FIELDS = (
    *("key", "chain", "kind", "step", "rating", "is_unsure", "finish", "text", "undoes"),
    *("scores_shown", "took_ms", "at_ms"),
)
# Asked at each of a person's acts, so built once.
_IS_OWN = events.c.person == bindparam("by")
_WANTED = bindparam("wanted", expanding=True)
_WITH_KEY = select(events).where(_IS_OWN, events.c.key == bindparam("key"))
_ON_CHAINS = select(events).where(_IS_OWN, events.c.chain.in_(_WANTED)).order_by(events.c.seq)
_RATED_AT = select(events.c.chain).where(_IS_OWN, events.c.step.in_(_WANTED)).distinct()
_TIMES_MS = (
    select(events.c.took_ms)
    .where(_IS_OWN, events.c.kind == "rate", events.c.took_ms.is_not(None))
    .order_by(events.c.seq.desc())
    .limit(bindparam("most"))
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
    row = connection.execute(_WITH_KEY, {"by": person, "key": key}).first()
    return None if row is None else _saved(row)


def events_of(connection: Connection, person: int, chains: Sequence[str]) -> list[Saved]:
    """What a person did to some chains."""
    found: list[Saved] = []
    for start in range(0, len(chains), BATCH):
        wanted = {"by": person, "wanted": chains[start : start + BATCH]}
        found += map(_saved, connection.execute(_ON_CHAINS, wanted))
    return sorted(found, key=lambda saved: saved.seq)


def last_times_ms(connection: Connection, person: int, count: int) -> list[int]:
    """How long a person took for the latest ratings."""
    return list(connection.execute(_TIMES_MS, {"by": person, "most": count}).scalars())


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
        wanted = {"by": person, "wanted": steps[start : start + BATCH]}
        found.update(connection.execute(_RATED_AT, wanted).scalars())
    return sorted(found)


def _all(connection: Connection, wanted: Select[Any]) -> Iterator[Saved]:
    return map(_saved, connection.execute(wanted.order_by(events.c.seq)))


def _saved(row: Row[Any]) -> Saved:
    fields = {name: getattr(row, name) for name in _FIELDS}
    return Saved(row.seq, row.person, row.saved_ms, Event(**fields))
