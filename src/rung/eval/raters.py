"""How people's rating goes: progress, time, agreement with gold items and with one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from sqlalchemy import Connection

from rung.core import ChainRecord
from rung.data.rows import label_of_rating
from rung.eval.agreement import agreement_together
from rung.eval.statistics import Estimate
from rung.label.human import (
    StepRating,
    Work,
    labels_of,
    person_source,
    ratings_by_step,
)
from rung.label.rating_queue import gold_labels
from rung.label.rating_records import Ratings, all_ratings, rated_ids, to_settle
from rung.store.chains import chains_by_id, count_chains
from rung.store.people import all_people
from rung.store.queues import all_queues, assigned_people, queue_sizes, queues_of_chains
from rung.store.values import Person, Purpose, Role, StoredChain

RESAMPLES = 500
GOLD_BATCH = 5
"""A person is told of gold items so many at a time, so that no single one can be told."""

ByStep = Mapping[str, Mapping[int, StepRating]]


@dataclass(frozen=True, slots=True)
class GoldAgreement:
    """How a person's ratings of gold chains fit the labels that these came with."""

    num_chains: int
    num_steps: int
    """Steps that have a label and that the person rated."""
    same: int
    """Of these, how many the person says the same of: bad, or not bad."""


@dataclass(frozen=True, slots=True)
class PersonStatus:
    """One person's part."""

    name: str
    role: Role
    is_active: bool
    chains: int
    """Submitted."""
    steps: int
    unsure: int
    median_step_s: float | None
    """Of the ratings that were timed."""
    gold: GoldAgreement | None
    last_ms: int | None


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """How far a queue is. A chain that is in several counts in each."""

    name: str
    chains: int
    """To rate; gold ones come on top."""
    gold_chains: int
    done: int
    """Chains that as many people submitted as shall."""
    begun: int
    """Further chains of which a step is rated."""
    people: Sequence[str]
    """Who is assigned to it; those who are assigned to none work on all."""


@dataclass(frozen=True, slots=True)
class Alpha:
    """Krippendorff's alpha. Adjudicators, who see what the others said, are left out."""

    week: str | None
    """As 2026-W48; None for all weeks together."""
    alpha: Estimate | None
    """None where nothing can be compared, or all say one thing."""
    num_steps: int
    """Steps that two people or more rated in this time."""


@dataclass(frozen=True, slots=True)
class RatingStatus:
    """Where the rating of a store stands."""

    chains: int
    """To rate; gold ones come on top."""
    gold_chains: int
    done: int
    """Chains that as many people submitted as shall."""
    begun: int
    """Further chains of which a step is rated."""
    ratings: int
    unsure: int
    finish_reasons: Mapping[str, int]
    to_settle: int
    """Chains with a step that one calls bad and another does not, and that nobody settled."""
    settled: int
    """Chains that an adjudicator submitted."""
    alpha: Alpha
    weeks: Sequence[Alpha]
    people: Sequence[PersonStatus]
    queues: Sequence[QueueStatus]


def rating_status(
    connection: Connection, *, overlap: int, ratings: Ratings | None = None
) -> RatingStatus:
    """Read everything (`ratings` too, unless they are given), and count."""
    ratings = ratings or all_ratings(connection)
    rated = list(chains_by_id(connection, rated_ids(connection, ratings)))
    ordinary = [chain for chain in rated if not chain.is_gold]
    num_chains, num_gold = count_chains(connection)
    ended = {c.id: _submitted(ratings, c.id, "rate") >= overlap for c in ordinary}
    done = sum(ended.values())
    kept = [one for by_person in ratings.by_step.values() for one in by_person.values()]
    independent = _independent(ratings)
    ends = Counter(str(work.finish) for work in ratings.works.values() if work.finish)
    return RatingStatus(
        num_chains,
        num_gold,
        done,
        len(ordinary) - done,
        len(kept),
        sum(one.is_unsure for one in kept),
        dict(sorted(ends.items())),
        len(to_settle(connection, ratings)),
        sum(_submitted(ratings, chain.id, "adjudicate") > 0 for chain in ordinary),
        _alpha(rated, independent, ratings.names, None),
        [_alpha(rated, independent, ratings.names, week) for week in _weeks(ratings)],
        [person_status(one, ratings, rated) for one in all_people(connection)],
        _queues(connection, ended),
    )


def _queues(connection: Connection, ended: Mapping[str, bool]) -> list[QueueStatus]:
    """How far each queue is, from the chains that are begun and whether they are done."""
    sizes, people = queue_sizes(connection), assigned_people(connection)
    places = queues_of_chains(connection, list(ended))
    count = Counter((queue, ended[chain]) for chain, queue in places)
    return [
        QueueStatus(
            *(name, sizes.get((id, False), 0), sizes.get((id, True), 0)),
            *(count[id, True], count[id, False], people.get(id, ())),
        )
        for id, name in all_queues(connection)
    ]


def person_status(person: Person, ratings: Ratings, rated: Iterable[StoredChain]) -> PersonStatus:
    """One person's part, from all that is rated."""
    own = [by[person.id] for by in ratings.by_step.values() if person.id in by]
    works = {chain: work for (who, chain), work in ratings.works.items() if who == person.id}
    return PersonStatus(
        person.name,
        person.role,
        person.is_active,
        sum(work.finish is not None for work in works.values()),
        len(own),
        sum(one.is_unsure for one in own),
        median_step_s(own),
        gold_agreement([chain for chain in rated if chain.is_gold], works),
        max((one.saved_ms for one in own), default=None),
    )


def median_step_s(ratings: Iterable[StepRating]) -> float | None:
    """The median time for a step, in seconds; None where none was timed."""
    took = [one.took_ms for one in ratings if one.took_ms is not None]
    return median(took) / 1000 if took else None


def gold_agreement(
    gold: Iterable[StoredChain], works: Mapping[str, Work], *, batch: int = 1
) -> GoldAgreement | None:
    """How a person's work on gold chains fits their labels; None where there is none yet.

    Args:
        gold: Gold chains; those that the person did not submit are passed over.
        works: The person's work, by chain.
        batch: Only the first so many count, and the next when as many are there again.
    """
    submitted = [(chain, works[chain.id]) for chain in gold if chain.id in works]
    submitted = [(chain, work) for chain, work in submitted if work.finish is not None]
    submitted.sort(key=lambda pair: pair[1].finished_ms or 0)
    counted = submitted[: len(submitted) // batch * batch]
    same = [one for chain, work in counted for one in _compared(chain, work)]
    return GoldAgreement(len(counted), len(same), sum(same)) if counted else None


def _compared(chain: StoredChain, work: Work) -> list[bool]:
    labels = gold_labels(chain.record)
    pairs = zip(chain.step_ids, labels.labels if labels else (), strict=False)
    said = [(truth, work.rated[step].rating) for step, truth in pairs if step in work.rated]
    return [
        (truth >= 0.5) == (label_of_rating(rating, "good") == 1.0)
        for truth, rating in said
        if truth is not None and rating is not None
    ]


def _submitted(ratings: Ratings, chain: str, purpose: Purpose) -> int:
    works = ratings.of_chain(chain)
    return sum(
        work.finish is not None and ratings.purposes.get((person, chain)) == purpose
        for person, work in works.items()
    )


def _independent(ratings: Ratings) -> ByStep:
    works = {k: w for k, w in ratings.works.items() if ratings.purposes.get(k) != "adjudicate"}
    return ratings_by_step(works)


def _weeks(ratings: Ratings) -> list[str]:
    return sorted({_week(one) for by in ratings.by_step.values() for one in by.values()})


def _week(rating: StepRating) -> str:
    year, week, _ = datetime.fromtimestamp(rating.saved_ms / 1000, UTC).isocalendar()
    return f"{year}-W{week:02}"


def _alpha(
    rated: Sequence[StoredChain], independent: ByStep, names: Mapping[int, str], week: str | None
) -> Alpha:
    by_step = {
        step: {p: one for p, one in by.items() if week is None or _week(one) == week}
        for step, by in independent.items()
    }
    records = [_labeled(chain, by_step, names) for chain in rated]
    sources = list(dict.fromkeys(y.source for record in records for y in record.labels))
    if len(sources) < 2:
        return Alpha(week, None, 0)
    return Alpha(week, *agreement_together(records, sources, resamples=RESAMPLES))


def _labeled(chain: StoredChain, by_step: ByStep, names: Mapping[int, str]) -> ChainRecord:
    """The chain with nothing but what each person said of it."""
    said = [by_step.get(step, {}) for step in chain.step_ids]
    people = sorted({p for by in said for p, one in by.items() if one.rating is not None})
    own = {p: [by[p].rating if p in by else None for by in said] for p in people}
    return ChainRecord(
        chain.record.chain,
        tuple(labels_of(own[person], person_source(names[person])) for person in people),
    )
