"""Put chains into a store's queue: those to learn from first, alternatives as alternatives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from rung.core import ChainRecord, RungError, StepLabels
from rung.label.human import SOURCE
from rung.label.next import Choice, First, next_to_label
from rung.store.chains import add_chains, add_steps
from rung.store.queues import MAIN, made_queue, queued_in


class Queued(NamedTuple):
    """What became of chains that were to be queued."""

    new: int
    known: int
    """They were in the queue already, or came twice."""
    alternatives: int
    """Chains that stand for another step in a chain's place (`meta["is_alternative"]`)."""


def queue_chains(
    connection: Connection,
    records: Iterable[ChainRecord],
    *,
    queue: str = MAIN,
    first: First = "doubt",
    scorers: Sequence[str] = (),
    rule: str = "min",
    most: int | None = None,
) -> Queued:
    """Put chains behind those that are in a queue, in the order of `next_to_label`.

    With `most`, no more than the first so many of those that are not there yet.

    Raises:
        RungError: A named scorer scored no chain, there is no such aggregation, or the queue's name
            is empty or too long.
    """
    mains: list[ChainRecord] = []
    branches: list[ChainRecord] = []
    for record in records:
        (branches if record.meta.get("is_alternative") else mains).append(record)
    ids = [record.chain.prefix_id for record in mains]
    known = queued_in(connection, made_queue(connection, queue), ids)
    fresh = [record for record in mains if record.chain.prefix_id not in known]
    order: list[Choice] = []
    if fresh:
        order = next_to_label(fresh, most, first=first, scorers=scorers, rule=rule)
    added = add_chains(connection, [fresh[choice.index] for choice in order], queue=queue)
    add_steps(connection, branches)
    return Queued(added.new, len(mains) - len(fresh) + added.known, len(branches))


def queue_gold(
    connection: Connection, records: Iterable[ChainRecord], place: str, *, queue: str = MAIN
) -> Queued:
    """Add chains whose labels are known, by which people are measured.

    Raises:
        RungError: A chain has no labels that could measure anybody.
    """
    gold = [record for record in records if not record.meta.get("is_alternative")]
    for number, record in enumerate(gold, start=1):
        labels = gold_labels(record)
        if labels is None or all(label is None for label in labels.labels):
            raise RungError(f"{place}: chain {number} has no labels to measure people by")
    added = add_chains(connection, gold, queue=queue, is_gold=True)
    return Queued(added.new, added.known, 0)


def gold_labels(record: ChainRecord) -> StepLabels | None:
    """The labels by which people are measured: "human", or the only ones that there are."""
    return record.labels_from(SOURCE) or record.labels_from()
