"""Chains with the labels that people's ratings come to, and PRM800K's own rows of the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sqlalchemy import Connection

from rung.core import Chain, ChainRecord
from rung.data.rows import Neutral
from rung.label.human import (
    SOURCE,
    StepRating,
    Work,
    is_disputed,
    labels_of,
    person_source,
    ratings_by_step,
    settled,
    works_of,
)
from rung.store.chains import Alternative, alternatives, chains_by_id, listed_chains
from rung.store.claims import all_claims
from rung.store.events import all_events
from rung.store.people import all_people
from rung.store.values import ChainPath, Purpose, StoredChain

WINDOW = 200
"""Chains whose alternatives are read together."""


@dataclass(frozen=True, slots=True)
class Ratings:
    """All that people said, at one moment."""

    works: Mapping[tuple[int, str], Work]
    """By person and chain."""
    by_step: Mapping[str, Mapping[int, StepRating]]
    judges: Mapping[str, Sequence[int]]
    """Who settled a step."""
    written: frozenset[str]
    """Steps that people wrote and did not take back."""
    purposes: Mapping[tuple[int, str], Purpose]
    """Why a person has a chain."""
    names: Mapping[int, str]

    def of_chain(self, chain: str) -> dict[int, Work]:
        """Everybody's work on a chain."""
        found = ((person, self.works.get((person, chain))) for person in self.names)
        return {person: work for person, work in found if work is not None}

    def settled(self, step: str) -> int | None:
        """The one rating that a step has; None where there is none, or a tie."""
        return settled(self.by_step.get(step, {}), self.judges.get(step, ()))

    def disputed(self, chain: ChainPath) -> list[str]:
        """The chain's steps that one calls bad and another does not, and that nobody settled."""
        steps = (step for step in chain.step_ids if step not in self.judges)
        return [step for step in steps if is_disputed(self.by_step.get(step, {}).values())]

    def is_bad_problem(self, chain: str) -> bool:
        """Whether most who ended their work on a chain say that its problem is bad."""
        works = self.of_chain(chain)
        judging = [w for p, w in works.items() if self.purposes.get((p, chain)) == "adjudicate"]
        ends = [w.finish for w in judging or works.values() if w.finish is not None]
        return 2 * ends.count("bad_problem") > len(ends)


def all_ratings(connection: Connection) -> Ratings:
    """Everything that people said."""
    return ratings_of(connection, works_of(all_events(connection)))


def ratings_of(connection: Connection, works: Mapping[tuple[int, str], Work]) -> Ratings:
    """Everything that people said, from everybody's work by person and chain."""
    purposes: dict[tuple[int, str], Purpose]
    purposes = {(claim.person, claim.chain): claim.purpose for claim in all_claims(connection)}
    judges: dict[str, list[int]] = {}
    for (person, chain), work in works.items():
        if purposes.get((person, chain)) == "adjudicate":
            for step in work.rated:
                judges.setdefault(step, []).append(person)
    names = {person.id: person.name for person in all_people(connection)}
    written = frozenset(step for work in works.values() for step in work.written)
    return Ratings(works, ratings_by_step(works), judges, written, purposes, names)


def to_settle(connection: Connection, ratings: Ratings) -> list[str]:
    """The chains with disputed steps, in the queue's order; a step counts in its first chain."""
    at_issue = {s for s, by in ratings.by_step.items() if is_disputed(by.values())}
    found: list[str] = []
    seen: set[str] = set()
    for path, is_gold in listed_chains(connection) if at_issue - ratings.judges.keys() else ():
        disputed = ratings.disputed(path) if not is_gold else []
        if set(disputed) - seen:
            found.append(path.id)
            seen.update(disputed)
    return found


@dataclass(frozen=True, slots=True)
class RatedChain:
    """A chain that somebody rated, with the other steps that could stand in its steps' places."""

    stored: StoredChain
    others: Mapping[str, Sequence[Alternative]]
    """By the prefix that they follow; the chain's own steps are not among them."""


def rated_ids(connection: Connection, ratings: Ratings) -> list[str]:
    """The chains that somebody rated or ended, in the queue's order."""
    begun = {chain for _, chain in ratings.works}
    listed = (path for path, _ in listed_chains(connection))
    return [
        path.id
        for path in listed
        if path.id in begun or any(step in ratings.by_step for step in path.step_ids)
    ]


def rated_chains(connection: Connection, ratings: Ratings) -> Iterator[RatedChain]:
    """The chains that somebody rated or ended, in the queue's order."""
    chains = chains_by_id(connection, rated_ids(connection, ratings))
    while window := list(islice(chains, WINDOW)):
        parents = {place for one in window for place in one.path.places}
        found: dict[str, list[Alternative]] = {}
        for other in alternatives(connection, sorted(parents)):
            found.setdefault(other.parent, []).append(other)
        for one in window:
            yield RatedChain(one, _others(one, found))


def rated_records(
    connection: Connection, *, neutral: Neutral = "good", ratings: Ratings | None = None
) -> Iterator[ChainRecord]:
    """Chains with people's labels: "human" is what is settled, `human:NAME` what each said.

    Behind a chain come those that end in a rated alternative to one of its steps, as PRM800K is
    read. Chains whose problem is bad are left out. A gold chain keeps the labels that it came with.
    """
    ratings = ratings or all_ratings(connection)
    written: set[str] = set()
    for one in rated_chains(connection, ratings):
        if ratings.is_bad_problem(one.stored.id):
            continue
        written.add(one.stored.id)
        yield _labeled(one.stored.record, ratings, neutral, is_gold=one.stored.is_gold)
        for record in _branches(one, ratings):
            if record.chain.prefix_id not in written:
                written.add(record.chain.prefix_id)
                yield _labeled(record, ratings, neutral, is_gold=False)


def _others(
    chain: StoredChain, found: Mapping[str, Sequence[Alternative]]
) -> dict[str, list[Alternative]]:
    own = set(chain.step_ids)
    return {
        place: [other for other in found.get(place, ()) if other.step.id not in own]
        for place in chain.path.places
    }


def _branches(one: RatedChain, ratings: Ratings) -> Iterator[ChainRecord]:
    chain = one.stored.record.chain
    for length, place in enumerate(one.stored.path.places):
        for other in one.others[place]:
            if other.step.id in ratings.by_step or other.step.id in ratings.written:
                steps = (*chain.steps[:length], other.step)
                human = [length] if other.writer is not None else []
                meta = {**one.stored.record.meta, "is_alternative": True, "human_steps": human}
                yield ChainRecord(Chain(chain.problem, steps), meta=meta)


def _labeled(
    record: ChainRecord, ratings: Ratings, neutral: Neutral, *, is_gold: bool
) -> ChainRecord:
    ids = [step.id for step in record.chain.steps]
    if not is_gold:
        merged = [ratings.settled(step) for step in ids]
        record = record.with_labels(labels_of(merged, SOURCE, neutral))
    people = sorted({person for step in ids for person in ratings.by_step.get(step, ())})
    for person in people:
        said = [ratings.by_step.get(step, {}).get(person) for step in ids]
        own = [None if one is None else one.rating for one in said]
        record = record.with_labels(labels_of(own, person_source(ratings.names[person]), neutral))
    return _with_ends(record, ratings)


def _with_ends(record: ChainRecord, ratings: Ratings) -> ChainRecord:
    """The record with how each person's work on the chain ended, in `meta["finish_reasons"]`."""
    works = ratings.of_chain(record.chain.prefix_id)
    ends = {ratings.names[person]: work.finish for person, work in works.items() if work.finish}
    return replace(record, meta={**record.meta, "finish_reasons": ends}) if ends else record
