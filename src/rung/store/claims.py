"""The queue: who has which chain. At most k people get a chain to rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, bindparam, exists, func, select, update

from rung.core.errors import RungError
from rung.store.chains import decode_ids
from rung.store.ended import first_unfinished
from rung.store.inserting import inserted
from rung.store.opening import now_ms
from rung.store.queues import queues_of
from rung.store.tables import chains, claims, events, people, queued
from rung.store.values import ADJUDICATOR, ChainPath, Claim, Person, Purpose

ATTEMPTS = 1000
"""Others may be quicker to take a chain; each attempt that fails gave one to somebody else."""

# Building a statement takes ten times as long as running it: each is built once.
_BY = bindparam("by")
_IS_HELD = and_(claims.c.chain == bindparam("held"), claims.c.person == _BY)
_HELD = select(claims).where(_IS_HELD)
_PATH_HELD = select(chains.c.problem, chains.c.step_ids).join_from(chains, claims).where(_IS_HELD)
_NUM_HELD = select(func.count()).where(claims.c.person == _BY)
_GOLD = select(claims.c.chain).where(claims.c.person == _BY, claims.c.purpose == "gold")

_mine = claims.alias()
_has = exists().where(_mine.c.chain == chains.c.id, _mine.c.person == _BY)
_is_in = exists().where(
    queued.c.chain == chains.c.id, queued.c.queue.in_(bindparam("queues", expanding=True))
)
_FREE_GOLD = (
    select(chains.c.id).where(chains.c.is_gold.is_(True), ~_has, _is_in).order_by(chains.c.place)
).limit(1)

_is_full = exists().where(claims.c.chain == chains.c.id, claims.c.slot == bindparam("last_slot"))
_taken = select(func.count()).where(claims.c.chain == chains.c.id, claims.c.slot >= 0)
_FREE = (
    select(chains.c.id, _taken.scalar_subquery().label("taken"))
    .join(queued, queued.c.chain == chains.c.id)
    .where(queued.c.queue == bindparam("queue"), queued.c.place >= bindparam("open_from"))
    .where(chains.c.is_gold.is_(False), ~_is_full, ~_has)
    .order_by(queued.c.place)
    .limit(1)
)

_acts = and_(events.c.chain == claims.c.chain, events.c.person == claims.c.person)
_last_ms = select(func.coalesce(func.max(events.c.saved_ms), claims.c.at_ms)).where(_acts)
_is_left = (_last_ms.scalar_subquery() < bindparam("before_ms")) | people.c.token_hash.is_(None)
_LEFT = (
    select(claims)
    .join(people, people.c.id == claims.c.person)
    .join(chains, chains.c.id == claims.c.chain)
    .where(claims.c.slot >= 0, ~exists().where(_acts, events.c.kind == "submit"), _is_left)
    .where(~_has, _is_in)
    .order_by(chains.c.place)
    .limit(1)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How chains are shared out."""

    overlap: int = 1
    """How many people rate each chain."""
    gold_every: int = 10
    """Each person's every n-th chain is a gold one, as long as there are any; 0 for none."""
    stale_ms: int = 24 * 3600 * 1000
    """A chain that was taken and not touched for so long is given to somebody else too."""


def next_chain(
    connection: Connection,
    person: Person,
    sharing: Sharing,
    *,
    queue: str | None = None,
    open_from: Mapping[int, int] | None = None,
) -> Claim | None:
    """The chain that a person has begun, or else the next one; None when all is done.

    Args:
        connection: One that may write.
        person: Who asks.
        sharing: How chains are shared out.
        queue: The name of a queue; None: all on which the person works, one after the other.
        open_from: A place in each queue (by its id) before which no chain is free
            (`rung.store.queues.first_open`), so that they are not looked through.

    Raises:
        RungError: The person does not work on this queue.
    """
    mine = queues_of(connection, person.id)
    ids = [one.id for one in mine if queue in (None, one.name)]
    if queue is not None and not ids:
        raise RungError(f"you do not work on a queue called {queue!r}")
    begun = first_unfinished(connection, person.id, None if queue is None else ids)
    if begun is not None:
        return claim_of(connection, person.id, begun)
    claim = _take_gold(connection, person, sharing, ids)
    for one in () if claim else ids:
        claim = _take_free(connection, person, sharing, one, (open_from or {}).get(one, 0))
        if claim:
            break
    return claim or _take_over(connection, person, sharing, ids)


def take_to_settle(connection: Connection, person: Person, chain: str) -> Claim | None:
    """Give a chain to the person who settles it; None when somebody has it."""
    return _claimed(connection, chain, person, "adjudicate", ADJUDICATOR)


def claim_of(connection: Connection, person: int, chain: str) -> Claim | None:
    """How a person has a chain; None when the person doesn't."""
    row = connection.execute(_HELD, {"by": person, "held": chain}).first()
    return None if row is None else Claim(row.chain, row.person, row.purpose, row.slot, row.at_ms)


def path_held(connection: Connection, person: int, chain: str) -> ChainPath | None:
    """The ids of a chain that a person has; None when the person doesn't have it."""
    row = connection.execute(_PATH_HELD, {"by": person, "held": chain}).first()
    if row is None:
        return None
    return ChainPath(chain, row.problem, decode_ids(row.step_ids))


def all_claims(connection: Connection) -> list[Claim]:
    """Who has, or had, which chain; in the order in which they were taken."""
    rows = connection.execute(select(claims).order_by(claims.c.at_ms, claims.c.chain))
    return [Claim(row.chain, row.person, row.purpose, row.slot, row.at_ms) for row in rows]


def gold_of(connection: Connection, person: int) -> list[str]:
    """The gold chains that a person has."""
    return list(connection.execute(_GOLD, {"by": person}).scalars())


def import_claim(connection: Connection, person: Person, chain: str) -> None:
    """Note that whoever rated in a file had a chain: one of the k people who rate it."""
    if claim_of(connection, person.id, chain) is None:
        taken = select(func.count()).where(claims.c.chain == chain, claims.c.slot >= 0)
        slot = connection.execute(taken).scalar_one()
        _claimed(connection, chain, person, "rate", slot)


def _take_gold(
    connection: Connection, person: Person, sharing: Sharing, queues: Sequence[int]
) -> Claim | None:
    if not sharing.gold_every:
        return None
    number = connection.execute(_NUM_HELD, {"by": person.id}).scalar_one()
    if number % sharing.gold_every != sharing.gold_every - 1:
        return None
    chain = connection.execute(_FREE_GOLD, {"by": person.id, "queues": list(queues)}).scalar()
    return None if chain is None else _claimed(connection, chain, person, "gold", None)


def _take_free(
    connection: Connection, person: Person, sharing: Sharing, queue: int, open_from: int
) -> Claim | None:
    wanted = {"by": person.id, "queue": queue, "open_from": open_from}
    wanted["last_slot"] = sharing.overlap - 1
    for _ in range(ATTEMPTS):
        row = connection.execute(_FREE, wanted).first()
        if row is None:
            return None
        claim = _claimed(connection, row.id, person, "rate", row.taken)
        if claim is not None:
            return claim
    return None


def _take_over(
    connection: Connection, person: Person, sharing: Sharing, queues: Sequence[int]
) -> Claim | None:
    """A chain whose person has left it. That person keeps it too, but no longer a slot."""
    wanted = {"by": person.id, "queues": list(queues), "before_ms": now_ms() - sharing.stale_ms}
    row = connection.execute(_LEFT, wanted).first()
    if row is None:
        return None
    old = claims.c.chain == row.chain, claims.c.person == row.person, claims.c.slot == row.slot
    if connection.execute(update(claims).where(*old).values(slot=None)).rowcount != 1:
        return None  # somebody else was quicker
    claim = _claimed(connection, row.chain, person, "rate", row.slot)
    if claim is None:  # the person got it meanwhile: the slot is not left empty
        is_it = claims.c.chain == row.chain, claims.c.person == row.person
        connection.execute(update(claims).where(*is_it).values(slot=row.slot))
    return claim


def _claimed(
    connection: Connection, chain: str, person: Person, purpose: Purpose, slot: int | None
) -> Claim | None:
    claim = Claim(chain, person.id, purpose, slot, now_ms())
    row = {"chain": chain, "person": person.id, "purpose": purpose, "slot": slot}
    return claim if inserted(connection, claims, {**row, "at_ms": claim.at_ms}) else None
