"""Stores with people and chains, for the tests of rating."""

from dataclasses import replace
from pathlib import Path

from rung import Chain, ChainRecord, Problem, StepLabels, StepScores, Verdict
from rung.label.rating_desk import Answer, accept
from rung.store.opening import Store, is_url, open_store
from rung.store.people import add_person
from rung.store.tables import metadata
from rung.store.values import Event, Person, Role


class EmptyStores:
    """Stores that are emptied between tests: making a schema takes longer than most tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Store] = {}

    def of(self, place: str) -> Store:
        """The store at a URL, or the one in SQLite; empty."""
        if place not in self._open:
            file = place if is_url(place) else self._folder / "ratings.db"
            self._open[place] = open_store(file)
        store = self._open[place]
        with store.writing() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        return store

    def close(self) -> None:
        for store in self._open.values():
            store.close()


def rated_chain(number: int = 0, *texts: str, answer: str | None = "7") -> ChainRecord:
    """A chain of three steps (or of `texts`) for a problem of its own."""
    problem = Problem(f"p{number}", f"What is 3 + 4, in {number}?", answer)
    return ChainRecord(Chain.of(problem, texts or ("Add.", "3 + 4 = 8", "So 8."), answer="8"))


def with_scores(record: ChainRecord, *scores: float) -> ChainRecord:
    return replace(record, outcome=Verdict.INCORRECT).with_scores(StepScores(scores, "prm"))


def with_labels(record: ChainRecord, *labels: float | None) -> ChainRecord:
    return record.with_labels(StepLabels(labels, "human"))


def somebody(store: Store, name: str, role: Role = "rater") -> Person:
    with store.writing() as connection:
        return add_person(connection, name, role, f"hash of {name}")


class Rater:
    """A person who rates, by event."""

    def __init__(self, store: Store, person: Person, *, rate_all: bool = False) -> None:
        self.store, self.person, self.rate_all = store, person, rate_all
        self._number = 0

    def send(self, *events: Event) -> list[Answer]:
        with self.store.writing() as connection:
            return accept(connection, self.person, events, rate_all=self.rate_all)

    def event(self, kind: str, chain: ChainRecord, **said: object) -> Event:
        self._number += 1
        key = said.pop("key", f"{self.person.name}-{self._number}")
        return Event(key=key, chain=chain.chain.prefix_id, kind=kind, **said)

    def rate(self, chain: ChainRecord, step: int, rating: int | None, **said: object) -> Answer:
        id = chain.chain.steps[step].id
        event = self.event("rate", chain, step=id, rating=rating, is_unsure=rating is None, **said)
        return self.send(event)[0]

    def submit(self, chain: ChainRecord, **said: object) -> Answer:
        return self.send(self.event("submit", chain, **said))[0]

    def rate_and_submit(self, chain: ChainRecord, *ratings: int | None) -> None:
        for step, rating in enumerate(ratings):
            assert self.rate(chain, step, rating).status == "saved"
        assert self.submit(chain).status == "saved"
