"""Chains in the store: each step once, by the hash of its prefix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, Select, bindparam, func, select

from rung.core import Chain, ChainRecord, Step
from rung.store.inserting import insert_new
from rung.store.queues import MAIN, made_queue, put, queued_in
from rung.store.tables import chains, problems, steps
from rung.store.values import ChainPath, StoredChain

BATCH = 500
"""Rows in one statement."""
# Asked for each chain that a person opens, so built once.
_WANTED = bindparam("wanted", expanding=True)
_CHAINS = select(chains).where(chains.c.id.in_(_WANTED)).order_by(chains.c.place)
_STEPS = select(steps.c.id, steps.c.content).where(steps.c.id.in_(_WANTED))
_PROBLEMS = select(problems.c.id, problems.c.content).where(problems.c.id.in_(_WANTED))
_NEXT_STEPS = select(steps).where(steps.c.parent.in_(_WANTED)).order_by(steps.c.id)
_PARENT = select(steps.c.parent).where(steps.c.id == bindparam("step"))


class Added(NamedTuple):
    """What became of chains that were to be queued."""

    new: int
    known: int
    """They were in the queue already, or came twice."""


def add_chains(
    connection: Connection,
    records: Iterable[ChainRecord],
    *,
    queue: str = MAIN,
    is_gold: bool = False,
) -> Added:
    """Put chains behind those that are in a queue, in this order; a new queue is made.

    A chain that is there stays as it is. A gold chain's labels are what people are measured by.

    Raises:
        RungError: The queue's name is empty or too long.
    """
    queue_id = made_queue(connection, queue)
    seen, new = 0, 0
    for batch in _batches(records):
        by_id = {record.chain.prefix_id: record for record in reversed(batch)}
        _add_unknown(connection, list(reversed(by_id.values())), is_gold=is_gold)
        there = queued_in(connection, queue_id, list(by_id))
        fresh = [id for id in reversed(by_id) if id not in there]
        put(connection, queue_id, fresh)
        seen, new = seen + len(batch), new + len(fresh)
    return Added(new, seen - new)


def _add_unknown(connection: Connection, records: Sequence[ChainRecord], *, is_gold: bool) -> None:
    known = known_chains(connection, [record.chain.prefix_id for record in records])
    fresh = [record for record in records if record.chain.prefix_id not in known]
    place = connection.execute(select(func.coalesce(func.max(chains.c.place), -1))).scalar_one()
    add_steps(connection, fresh)
    rows = [_row(record, place + 1 + k, is_gold) for k, record in enumerate(fresh)]
    insert_new(connection, chains, rows)


def add_steps(connection: Connection, records: Sequence[ChainRecord]) -> None:
    """Keep the problems and steps of chains: of a chain that is not queued, as alternatives."""
    found = {r.chain.problem.root_id: r.chain.problem for r in records}
    rows = [{"id": id, "content": _json(problem)} for id, problem in found.items()]
    insert_new(connection, problems, rows)
    insert_new(connection, steps, [row for r in records for row in _step_rows(r.chain)])


def add_step(connection: Connection, parent: str, step: Step, writer: int) -> None:
    """Keep a step that a person wrote."""
    row = {"id": step.id, "parent": parent, "content": _content(step), "written_by": writer}
    insert_new(connection, steps, [row])


def chain_by_id(connection: Connection, id: str) -> StoredChain | None:
    """A chain; None where there is none of this id."""
    return next(iter(chains_by_id(connection, [id])), None)


def chains_by_id(connection: Connection, ids: Sequence[str]) -> Iterator[StoredChain]:
    """Chains, in the queue's order."""
    for start in range(0, len(ids), BATCH):
        rows = connection.execute(_CHAINS, {"wanted": ids[start : start + BATCH]})
        yield from _stored(connection, rows.all())


def known_chains(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these chains are there."""
    found: set[str] = set()
    for start in range(0, len(ids), BATCH):
        wanted = select(chains.c.id).where(chains.c.id.in_(ids[start : start + BATCH]))
        found.update(connection.execute(wanted).scalars())
    return found


def all_chains(connection: Connection) -> Iterator[StoredChain]:
    """Every chain, in the queue's order."""
    ids = connection.execute(select(chains.c.id).order_by(chains.c.place)).scalars().all()
    return chains_by_id(connection, ids)


class Listed(NamedTuple):
    """A chain without its texts."""

    path: ChainPath
    is_gold: bool


def listed_chains(connection: Connection) -> list[Listed]:
    """Every chain by its ids alone, in the queue's order."""
    wanted = select(chains.c.id, chains.c.problem, chains.c.step_ids, chains.c.is_gold)
    return [
        Listed(ChainPath(row.id, row.problem, decode_ids(row.step_ids)), bool(row.is_gold))
        for row in connection.execute(wanted.order_by(chains.c.place))
    ]


def decode_ids(step_ids: str) -> tuple[str, ...]:
    """A chain's step ids, as its row has them."""
    return msgspec.json.decode(step_ids, type=tuple[str, ...])


class Alternative(NamedTuple):
    """A step that has another one's place."""

    parent: str
    step: Step
    writer: int | None
    """Who wrote it; None where it came with the data."""


def alternatives(connection: Connection, parents: Sequence[str]) -> list[Alternative]:
    """All steps that follow these prefixes, those of the chains too, by id."""
    found: list[Alternative] = []
    for start in range(0, len(parents), BATCH):
        for row in connection.execute(_NEXT_STEPS, {"wanted": parents[start : start + BATCH]}):
            found.append(Alternative(row.parent, _step(row), row.written_by))
    return found


def step_parent(connection: Connection, id: str) -> str | None:
    """What a step follows; None where there is no such step."""
    return connection.execute(_PARENT, {"step": id}).scalar()


def count_chains(connection: Connection) -> tuple[int, int]:
    """How many there are: to rate, and gold."""
    counted = select(chains.c.is_gold, func.count()).group_by(chains.c.is_gold)
    by_kind = {bool(is_gold): number for is_gold, number in connection.execute(counted)}
    return by_kind.get(False, 0), by_kind.get(True, 0)


def _batches(records: Iterable[ChainRecord]) -> Iterator[list[ChainRecord]]:
    batch: list[ChainRecord] = []
    for record in records:
        batch.append(record)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _row(record: ChainRecord, place: int, is_gold: bool) -> dict[str, Any]:
    rest = msgspec.to_builtins(record)
    for part in ("problem", "steps"):
        del rest["chain"][part]
    return {
        "id": record.chain.prefix_id,
        "problem": record.chain.problem.root_id,
        "step_ids": _json([step.id for step in record.chain.steps]),
        "rest": _json(rest),
        "place": place,
        "is_gold": is_gold,
    }


def _step_rows(chain: Chain) -> Iterator[dict[str, Any]]:
    parent = chain.problem.root_id
    for step in chain.steps:
        yield {"id": step.id, "parent": parent, "content": _content(step), "written_by": None}
        parent = step.id


def _stored(connection: Connection, rows: Sequence[Row[Any]]) -> Iterator[StoredChain]:
    paths = {row.id: decode_ids(row.step_ids) for row in rows}
    wanted = list(dict.fromkeys(id for path in paths.values() for id in path))
    content = _contents(connection, _STEPS, wanted)
    asked = _contents(connection, _PROBLEMS, list(dict.fromkeys(row.problem for row in rows)))
    for row in rows:
        rest = msgspec.json.decode(row.rest)
        rest["chain"]["problem"] = msgspec.json.decode(asked[row.problem])
        rest["chain"]["steps"] = [_step_fields(id, content[id]) for id in paths[row.id]]
        yield StoredChain(row.id, msgspec.convert(rest, ChainRecord), bool(row.is_gold))


def _contents(
    connection: Connection, asked: Select[str, str], ids: Sequence[str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(ids), BATCH):
        rows = connection.execute(asked, {"wanted": ids[start : start + BATCH]})
        found.update((row.id, row.content) for row in rows)
    return found


def _content(step: Step) -> str:
    return _json([step.text, step.role, step.observation])


def _step_fields(id: str, content: str) -> dict[str, Any]:
    said, role, observation = msgspec.json.decode(content)
    return {"id": id, "text": said, "role": role, "observation": observation}


def _step(row: Row[Any]) -> Step:
    return Step(**_step_fields(row.id, row.content))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
