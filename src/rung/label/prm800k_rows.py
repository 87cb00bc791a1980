"""People's work as PRM800K publishes it: one row for each person and chain.

Written and read back (`rung.data.prm800k`), a row gives the same chains with the same ratings.
`flagged` is a step of which the person was unsure. Alternatives stand behind the chain's own step,
in no particular order; what the person said nothing of is left out, but for phase 1, where all that
was offered is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from rung.core import ChainRecord, Step
from rung.data.prm800k import Completion, Label, LabeledStep, Prm800kRow, Question
from rung.label.human import StepRating, Work
from rung.label.rating_records import RatedChain, Ratings

PHASE_1 = 1
"""In it steps were written while people rated; later solutions were written beforehand."""


def prm800k_rows(chains: Iterable[RatedChain], ratings: Ratings) -> Iterator[bytes]:
    """The lines of the file: work that was submitted, chain by chain."""
    for one in chains:
        for person, work in ratings.of_chain(one.stored.id).items():
            if work.finish is not None:
                yield msgspec.json.encode(_row(one, person, work, ratings)) + b"\n"


def _row(one: RatedChain, person: int, work: Work, ratings: Ratings) -> Prm800kRow:
    return Prm800kRow(
        question=_question(one.stored.record),
        label=Label(_steps(one, person, work, ratings), str(work.finish), work.took_ms),
        labeler=ratings.names[person],
        timestamp=None if work.finished_ms is None else _time(work.finished_ms),
        generation=one.stored.record.meta.get("generation"),
        is_quality_control_question=ratings.purposes.get((person, one.stored.id)) == "gold",
        is_initial_screening_question=False,
    )


def _question(record: ChainRecord) -> Question:
    problem, is_growing = record.chain.problem, record.meta.get("phase") == PHASE_1
    return Question(
        problem.question,
        ground_truth_answer=problem.answer,
        pre_generated_steps=None if is_growing else list(record.chain.texts),
        pre_generated_answer=None if is_growing else record.chain.answer,
        pre_generated_verifier_score=record.meta.get("pre_generated_verifier_score"),
    )


def _steps(one: RatedChain, person: int, work: Work, ratings: Ratings) -> list[LabeledStep]:
    """The places up to the last one of which the person said something."""
    said: dict[str, StepRating] = {}
    places = [_place(one, k) for k in range(len(one.stored.step_ids) + 1)]
    for place in places:
        for id in place.step_ids:
            if person in ratings.by_step.get(id, {}):
                said[id] = ratings.by_step[id][person]
    spoken = [k for k, p in enumerate(places) if p.has_words(said, work.written)]
    count = spoken[-1] + 1 if spoken else 0
    if one.stored.record.meta.get("phase") == PHASE_1:
        count = max(count, len(one.stored.step_ids))
    return [
        place.labeled(said, work.written, is_last=k == count - 1)
        for k, place in enumerate(places[:count])
    ]


@dataclass(frozen=True, slots=True)
class _Place:
    """One place in a chain, with all that stood to choose from."""

    own: Step | None
    """The chain's step; None behind its end."""
    is_human: bool
    """Whether a person wrote the chain's own step."""
    others: tuple[Step, ...]
    offered: frozenset[str]
    """Ids of others that are kept without a rating too."""

    @property
    def step_ids(self) -> list[str]:
        own = [] if self.own is None else [self.own.id]
        return [*own, *(step.id for step in self.others)]

    def has_words(self, said: Mapping[str, StepRating], written: tuple[str, ...]) -> bool:
        return any(id in said or id in written for id in self.step_ids)

    def labeled(
        self, said: Mapping[str, StepRating], written: tuple[str, ...], *, is_last: bool
    ) -> LabeledStep:
        own = self.own if self.own is not None and not self.is_human else None
        others = [s for s in self.others if s.id not in written]
        others = [s for s in others if s.id in said or s.id in self.offered]
        rated = [_completion(s, said) for s in (own, *others) if s is not None]
        human = [s for s in self.others if s.id in written]
        if self.is_human and self.own is not None:
            human = [self.own]
        is_taken = own is not None and not (is_last and rated[0].rating in (-1, None))
        return LabeledStep(
            rated, _completion(human[-1], said) if human else None, 0 if is_taken else None
        )


def _place(one: RatedChain, k: int) -> _Place:
    record = one.stored.record
    own = record.chain.steps[k] if k < len(record.chain.steps) else None
    others = one.others[one.stored.path.places[k]]
    is_kept = record.meta.get("phase") == PHASE_1
    return _Place(
        own,
        k in record.meta.get("human_steps", ()),
        tuple(other.step for other in others),
        frozenset(o.step.id for o in others if is_kept and o.writer is None),
    )


def _completion(step: Step, said: Mapping[str, StepRating]) -> Completion:
    found = said.get(step.id)
    if found is None:
        return Completion(step.text, None, flagged=False)
    return Completion(step.text, found.rating, flagged=found.is_unsure)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None).isoformat()
