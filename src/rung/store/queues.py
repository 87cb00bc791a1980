"""Named queues: which chains are rated, in which order, and by whom.

A chain may be in several queues, and is rated by k people in all. A person who is assigned to no
queue works on all of them, in the order in which they were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, select, text

from rung.core.errors import RungError
from rung.store.inserting import insert_new
from rung.store.opening import now_ms
from rung.store.people import known_person
from rung.store.tables import assignments, chains, claims, people, queued, queues
from rung.store.values import MAX_NAME_CHARS

MAIN = "main"
"""The queue of chains for which none is named."""
BATCH = 500
_LOCK = 0x72756E68
"""PostgreSQL's lock while chains are added."""

# Asked for each chain that a person opens, so built once.
_QUEUES = select(queues.c.id, queues.c.name).order_by(queues.c.id)
_is_own = assignments.c.person == bindparam("by")
_OWN_QUEUES = _QUEUES.where(
    exists().where(assignments.c.queue == queues.c.id, _is_own) | ~exists().where(_is_own)
)
_IN_QUEUE = queued.c.queue == bindparam("queue")
_is_full = exists().where(claims.c.chain == chains.c.id, claims.c.slot == bindparam("last_slot"))
_OPEN = (
    select(queued.c.place)
    .join(chains, chains.c.id == queued.c.chain)
    .where(_IN_QUEUE, queued.c.place >= bindparam("after"), chains.c.is_gold.is_(False), ~_is_full)
    .order_by(queued.c.place)
    .limit(1)
)

# Asked at each submitted chain: counted by indexes alone.
_size = select(func.count()).where(_IN_QUEUE).scalar_subquery()
_is_here = exists().where(queued.c.chain == chains.c.id, _IN_QUEUE)
_num_gold = select(func.count()).where(chains.c.is_gold.is_(True), _is_here).scalar_subquery()
_SIZES = select(_size, _num_gold)
_is_turn = and_(claims.c.slot >= 0, claims.c.slot < bindparam("overlap"))
_TAKEN = (
    select(func.count().filter(_is_turn), func.count().filter(claims.c.purpose == "gold"))
    .join_from(claims, queued, queued.c.chain == claims.c.chain)
    .where(_IN_QUEUE)
)


class Queue(NamedTuple):
    """A queue."""

    id: int
    name: str


def made_queue(connection: Connection, name: str) -> int:
    """The id of the queue of this name, which is made where there is none.

    From here to its end, no other transaction on PostgreSQL adds to any queue.

    Raises:
        RungError: The name is empty or too long.
    """
    name = name.strip()
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise RungError(
            f"a queue's name is 1 to {MAX_NAME_CHARS} printable characters, not {name!r}"
        )
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    insert_new(connection, queues, [{"name": name, "added_ms": now_ms()}])
    return connection.execute(select(queues.c.id).where(queues.c.name == name)).scalar_one()


def known_queue(connection: Connection, name: str) -> Queue:
    """The queue of this name.

    Raises:
        RungError: There is none.
    """
    found = all_queues(connection)
    for queue in found:
        if queue.name == name:
            return queue
    names = ", ".join(repr(one.name) for one in found) or "none"
    raise RungError(f"there is no queue called {name!r}; known are {names}")


def all_queues(connection: Connection) -> list[Queue]:
    """Every queue, in the order in which they were made."""
    return [Queue(*row) for row in connection.execute(_QUEUES)]


def queues_of(connection: Connection, person: int) -> list[Queue]:
    """The queues on which a person works, in order."""
    return [Queue(*row) for row in connection.execute(_OWN_QUEUES, {"by": person})]


def assign(connection: Connection, queue: str, names: Sequence[str]) -> None:
    """Have people work on a queue; and on no other to which they are not assigned.

    Raises:
        RungError: There is no such queue or person.
    """
    id = known_queue(connection, queue).id
    rows = [{"queue": id, "person": known_person(connection, name).id} for name in names]
    insert_new(connection, assignments, rows)


def unassign(connection: Connection, queue: str, names: Sequence[str]) -> None:
    """Undo `assign`.

    Raises:
        RungError: There is no such queue or person.
    """
    id = known_queue(connection, queue).id
    for name in names:
        person = known_person(connection, name)
        is_it = assignments.c.queue == id, assignments.c.person == person.id
        connection.execute(delete(assignments).where(*is_it))


def assigned_people(connection: Connection) -> dict[int, list[str]]:
    """The names of those who are assigned to each queue."""
    wanted = select(assignments.c.queue, people.c.name).join(people)
    found: dict[int, list[str]] = {}
    for queue, name in connection.execute(wanted.order_by(people.c.id)):
        found.setdefault(queue, []).append(name)
    return found


def queued_in(connection: Connection, queue: int, ids: Sequence[str]) -> set[str]:
    """Which of these chains are in a queue."""
    found: set[str] = set()
    for start in range(0, len(ids), BATCH):
        wanted = select(queued.c.chain).where(queued.c.queue == queue)
        wanted = wanted.where(queued.c.chain.in_(ids[start : start + BATCH]))
        found.update(connection.execute(wanted).scalars())
    return found


def put(connection: Connection, queue: int, ids: Sequence[str]) -> None:
    """Put chains behind those that are in a queue."""
    last = select(func.coalesce(func.max(queued.c.place), -1)).where(queued.c.queue == queue)
    place = connection.execute(last).scalar_one() + 1
    if ids:
        rows = [{"queue": queue, "chain": id, "place": place + k} for k, id in enumerate(ids)]
        connection.execute(insert(queued), rows)


def queues_of_chains(connection: Connection, ids: Sequence[str]) -> list[tuple[str, int]]:
    """Chains, each with every queue that it is in."""
    found: list[tuple[str, int]] = []
    for start in range(0, len(ids), BATCH):
        wanted = select(queued.c.chain, queued.c.queue)
        rows = connection.execute(wanted.where(queued.c.chain.in_(ids[start : start + BATCH])))
        found += [(row.chain, row.queue) for row in rows]
    return found


def queue_sizes(connection: Connection) -> dict[tuple[int, bool], int]:
    """How many chains each queue has: to rate (False), and gold (True)."""
    wanted = select(queued.c.queue, chains.c.is_gold, func.count())
    wanted = wanted.join(chains, chains.c.id == queued.c.chain)
    rows = connection.execute(wanted.group_by(queued.c.queue, chains.c.is_gold))
    return {(queue, bool(is_gold)): number for queue, is_gold, number in rows}


class Turns(NamedTuple):
    """How far a queue is.

    Gold chains count like others, so that a count which stands still tells nobody that a chain was
    one; how many there will be is estimated.
    """

    all: int
    """k for each chain, and those of gold chains."""
    left: int
    """Of these, those that nobody has taken; 0 when there are none to rate but gold ones."""


def count_turns(connection: Connection, queue: int, *, overlap: int, gold_every: int) -> Turns:
    """The turns of a queue."""
    num_chains, num_gold = connection.execute(_SIZES, {"queue": queue}).one()
    held = {"queue": queue, "overlap": overlap}
    taken, gold_taken = connection.execute(_TAKEN, held).one()
    turns = overlap * (num_chains - num_gold)
    all = turns + _gold_turns(connection, turns, num_gold, gold_every)
    return Turns(all, max(1, all - taken - gold_taken) if taken < turns else 0)


def _gold_turns(connection: Connection, turns: int, gold: int, gold_every: int) -> int:
    """How many gold chains will be taken along so many turns, by all who can log in."""
    if not gold or not gold_every:
        return 0
    counted = select(func.count()).where(people.c.token_hash.is_not(None))
    number = max(1, connection.execute(counted).scalar_one())
    return min(gold * number, turns // max(1, gold_every - 1))


def first_open(connection: Connection, queue: int, overlap: int, after: int) -> int:
    """The first place of a queue, from `after` on, whose chain fewer than k people have.

    Nobody gives a slot back, so no place before it opens again: a search may begin there. Where
    there is none, `after`.
    """
    wanted = {"queue": queue, "after": after, "last_slot": overlap - 1}
    found = connection.execute(_OPEN, wanted).scalar()
    return after if found is None else found
