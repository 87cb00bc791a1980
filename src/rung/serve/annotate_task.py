"""The parts of a task: its steps, what the person said of them, and what others did."""

from __future__ import annotations

from collections import Counter

from rung.label.rating_desk import Standing
from rung.label.rating_records import Ratings
from rung.serve.annotate_values import Carried, Change, Opinions, TaskStep
from rung.store.values import Person, StoredChain


def steps_of(chain: StoredChain) -> list[TaskStep]:
    """The chain's own steps."""
    steps = chain.record.chain.steps
    return [
        TaskStep(step.id, parent, step.text, step.role, step.observation)
        for parent, step in zip(chain.path.places, steps, strict=False)
    ]


def changes_of(stands: Standing) -> list[Change]:
    """What the person rated and wrote on this chain, as it stands."""
    return [
        Change(
            one.key, "write" if one.kind == "write" else "rate", one.step, one.rating, one.is_unsure
        )
        for one in stands.work.changes
        if one.step is not None
    ]


def carried_of(stands: Standing) -> list[Carried]:
    """What the person said of the chain's steps in other chains."""
    return [
        Carried(step, rated.rating, rated.is_unsure)
        for step, rated in stands.rated.items()
        if stands.work.rated.get(step) != rated
    ]


def opinions_on(chain: StoredChain, ratings: Ratings, person: Person) -> list[Opinions]:
    """What others said of the chain's steps, in whatever chain they said it."""
    found: list[Opinions] = []
    for step in chain.step_ids:
        by_person = ratings.by_step.get(step, {})
        others = [one for who, one in by_person.items() if who != person.id]
        count = Counter(one.rating for one in others if not one.is_unsure)
        unsure = sum(one.is_unsure for one in others)
        if others:
            found.append(Opinions(step, count[-1], count[0], count[1], unsure))
    return found
