"""What `rung annotate` does for one person: the next chain, where they stand, what they send."""

from __future__ import annotations

import asyncio
import getpass
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

from sqlalchemy import Connection

from rung.core import RungError
from rung.eval.raters import GOLD_BATCH, RatingStatus, gold_agreement, rating_status
from rung.label.human import works_of
from rung.label.rating_desk import Answer, accept, standing
from rung.label.rating_export import ExportFormat, export_lines
from rung.label.rating_fold import RatingFold
from rung.label.rating_records import to_settle
from rung.serve.annotate_task import carried_of, changes_of, opinions_on, steps_of
from rung.serve.annotate_values import (
    Me,
    QueueLeft,
    ScoredBy,
    Task,
    TaskStep,
)
from rung.serve.tokens import ADMIN, LOCAL, Caller
from rung.store.chains import alternatives, chain_by_id, chains_by_id
from rung.store.claims import (
    Sharing,
    claim_of,
    gold_of,
    next_chain,
    take_to_settle,
)
from rung.store.ended import count_finished, latest_finished
from rung.store.events import events_of, last_times_ms
from rung.store.opening import Store
from rung.store.people import person_named, person_with_token
from rung.store.queues import Turns, count_turns, first_open, queues_of
from rung.store.values import Claim, Event, Person, StoredChain

T = TypeVar("T")
LATEST = 200
"""Ratings whose median time a person is shown."""


class NotYoursError(RungError):
    """A chain was asked for that the person was not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingDesk:
    """A store, and how it is rated."""

    store: Store
    sharing: Sharing = field(default_factory=Sharing)
    rate_all: bool = False
    shows_answer: bool = True
    """Whether people see the reference answer."""
    offers_scores: bool = True
    """Whether people may ask for scorers' scores of the chain before them."""
    max_alternatives: int = 7
    """Other steps shown at a place, besides those that the person wrote."""
    known: dict[str, Person] = field(default_factory=dict[str, Person])
    """People who were here before, by name."""
    fold: RatingFold = field(default_factory=RatingFold)
    open_from: dict[int, int] = field(default_factory=dict[int, int])
    """A place in each queue before which no chain is free: `rung.store.queues.first_open`."""
    opening: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "rung-desk"))

    async def in_turn(self, job: Callable[[], T]) -> T:
        """Do a job when those before it are done.

        Where many open chains at once, as in the morning, each in a thread of its own, whoever
        sends a rating meanwhile waits for all of them.
        """
        return await asyncio.get_running_loop().run_in_executor(self.opening, job)

    async def find(self, token_hash: str) -> Caller | None:
        """Whose token it is, for the guard."""
        asked = self.store.reads.ask(lambda c: person_with_token(c, token_hash))
        person = await asyncio.wrap_future(asked)
        return None if person is None else Caller(person.name, is_admin=person.role == "lead")

    def person(self, connection: Connection, who: Caller) -> Person:
        """The person who asks; without a token of a person, whoever runs the server."""
        name = local_name() if who is LOCAL or who is ADMIN else who.name
        if name not in self.known:  # a name and its id stay together for good
            person = person_named(connection, name)
            if person is None:
                raise RungError(f"there is nobody called {name!r} in this store")
            self.known[name] = person
        return self.known[name]

    def me(self, who: Caller) -> Me:
        """Who asks, and how far everything is."""
        with self.store.reading() as connection:
            person = self.person(connection, who)
            far = [
                QueueLeft(name, *self._turns(connection, id))
                for id, name in queues_of(connection, person.id)
            ]
            took_ms = last_times_ms(connection, person.id, LATEST)
            gold = list(chains_by_id(connection, gold_of(connection, person.id)))
            saved = events_of(connection, person.id, [chain.id for chain in gold])
            works = {chain: work for (_, chain), work in works_of(saved).items()}
            return Me(
                name=person.name,
                is_lead=who.is_admin,
                rate_all=self.rate_all,
                chains=count_finished(connection, person.id),
                left=sum(one.left for one in far),
                turns=sum(one.turns for one in far),
                queues=far,
                median_step_s=median(took_ms) / 1000 if took_ms else None,
                gold=gold_agreement(gold, works, batch=GOLD_BATCH),
            )

    def next(self, who: Caller, queue: str | None = None) -> Task | None:
        """The chain that the person has begun, or the next; None when all is done.

        Raises:
            RungError: The person does not work on the queue of this name.
        """

        def taken(connection: Connection) -> Claim | None:
            person, far = self.person(connection, who), self.open_from
            return next_chain(connection, person, self.sharing, queue=queue, open_from=far)

        claim = self.store.writes.ask(taken).result()
        if claim is None:
            return None
        with self.store.reading() as connection:
            person = self.person(connection, who)
            self._look_ahead(connection, person)
            return self._task(connection, person, claim)

    def _turns(self, connection: Connection, queue: int) -> Turns:
        how = self.sharing
        return count_turns(connection, queue, overlap=how.overlap, gold_every=how.gold_every)

    def _look_ahead(self, connection: Connection, person: Person) -> None:
        """Pass over what is taken for good. Here, where nothing can be undone any more."""
        for id, _ in queues_of(connection, person.id):
            after = self.open_from.get(id, 0)
            self.open_from[id] = first_open(connection, id, self.sharing.overlap, after)

    def next_to_settle(self, who: Caller) -> Task | None:
        """A chain on which people disagree, for whoever settles it; None when there is none."""
        with self.store.reading() as connection:
            disputed = to_settle(connection, self.fold.ratings(connection))

        def taken(connection: Connection) -> Claim | None:
            person = self.person(connection, who)
            for chain in disputed:
                held = claim_of(connection, person.id, chain)
                if held is not None and held.purpose != "adjudicate":
                    continue  # nobody is judge in their own case
                claim = held or take_to_settle(connection, person, chain)
                if claim is not None:
                    return claim
            return None

        claim = self.store.writes.ask(taken).result()
        return None if claim is None else self.task(who, claim.chain)

    def task(self, who: Caller, chain: str) -> Task:
        """A chain that the person has or had.

        Raises:
            NotYoursError: The person was never given it.
        """
        with self.store.reading() as connection:
            person = self.person(connection, who)
            return self._task(connection, person, self._claim(connection, person, chain))

    async def take(self, who: Caller, events: Sequence[Event]) -> list[Answer]:
        """Keep what the person did; the answer comes when it is on the disk."""

        def kept(connection: Connection) -> list[Answer]:
            person = self.person(connection, who)
            return accept(connection, person, events, rate_all=self.rate_all)

        return await asyncio.wrap_future(self.store.writes.ask(kept))

    def show_scores(self, who: Caller, event: Event) -> Task:
        """Show what scorers think of a chain, and keep that they were shown.

        Raises:
            RungError: That is not offered, or the chain is not the person's.
        """
        if not self.offers_scores:
            raise RungError("scores are not shown here")

        def shown(connection: Connection) -> None:
            person = self.person(connection, who)
            self._claim(connection, person, event.chain)
            accept(connection, person, [event], rate_all=self.rate_all)

        self.store.writes.ask(shown).result()
        return self.task(who, event.chain)

    def status(self) -> RatingStatus:
        """How the team gets on."""
        with self.store.reading() as connection:
            ratings = self.fold.ratings(connection)
            return rating_status(connection, overlap=self.sharing.overlap, ratings=ratings)

    def export(self, format: ExportFormat) -> Iterator[bytes]:
        """The lines of a file with all ratings, as they are at this moment."""
        with self.store.reading() as connection:
            yield from export_lines(connection, format)

    def _claim(self, connection: Connection, person: Person, chain: str) -> Claim:
        claim = claim_of(connection, person.id, chain)
        if claim is None:
            raise NotYoursError("this chain was not given to you")
        return claim

    def _task(self, connection: Connection, person: Person, claim: Claim) -> Task:
        chain = chain_by_id(connection, claim.chain)
        assert chain is not None, "a claim's chain is there"
        stands = standing(connection, person, chain.path, rate_all=self.rate_all)
        settles = claim.purpose == "adjudicate"
        problem = chain.record.chain.problem
        scores = [ScoredBy(s.scorer, s.scores) for s in chain.record.scores]
        return Task(
            chain=chain.id,
            purpose="adjudicate" if settles else "rate",
            question=problem.question,
            answer=problem.answer if self.shows_answer else None,
            root=problem.root_id,
            steps=steps_of(chain),
            alternatives=self._alternatives(connection, person, chain, all_written=settles),
            changes=changes_of(stands),
            carried=carried_of(stands),
            finish=stands.work.finish,
            reason=stands.work.reason,
            opinions=opinions_on(chain, self.fold.ratings(connection), person) if settles else [],
            has_scores=self.offers_scores and bool(scores),
            scores=scores if stands.work.scores_shown and self.offers_scores else [],
            previous=latest_finished(connection, person.id, but=chain.id),
        )

    def _alternatives(
        self, connection: Connection, person: Person, chain: StoredChain, *, all_written: bool
    ) -> list[TaskStep]:
        """What else was written at the chain's places: by policies, and by the person."""
        shown: list[TaskStep] = []
        count: Counter[str] = Counter()
        for other in alternatives(connection, chain.path.places):
            is_own = other.writer == person.id
            if other.step.id in chain.step_ids or not (all_written or is_own or not other.writer):
                continue
            if not is_own:
                count[other.parent] += 1
            if is_own or count[other.parent] <= self.max_alternatives:
                step = other.step
                shown.append(
                    TaskStep(step.id, other.parent, step.text, step.role, step.observation, is_own)
                )
        return shown


def local_name() -> str:
    """The name of whoever runs the server."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id that has no name
        return "local"
