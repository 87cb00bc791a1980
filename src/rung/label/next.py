"""Which chains to label next: those a PRM doubts, or convincing mistakes; no two alike.

Two published ways, one function. Efficient Process Reward Model Training via Active Learning
(ActPRM, arXiv 2504.10559) labels chains of which the PRM is not sure up to the first step that it
calls wrong. Let's Verify Step by Step (arXiv 2305.20050, section 4.2) labels "convincing
wrong-answer" chains, which the PRM rates highly although their answer is wrong, and for a fifth the
most convincing of the others. To both we add where scorers disagree (ActPRM reads that off the
heads of one ensemble), and take off what a chain has in common with those chosen before it. ActPRM
keeps whatever passes two thresholds; here chains come in order, the most doubted first.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from statistics import fmean, pstdev
from typing import Literal

from rung.core import AGGREGATIONS, ChainRecord, RungError, StepScores

First = Literal["doubt", "convincing"]
"""What puts a chain first in line."""
PROBLEM_PENALTY = 0.1
"""Taken off for each chain of the same problem that was chosen before."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A chain to label, and why."""

    index: int
    """Its place among the records."""
    value: float
    reasons: tuple[str, ...]


def next_to_label(
    records: Sequence[ChainRecord],
    count: int | None = None,
    *,
    first: First = "doubt",
    scorers: Sequence[str] = (),
    rule: str = "min",
) -> list[Choice]:
    """Order chains by what their labels would teach, the best first.

    A chain's value is what `first` says, a mean over the scorers:

    - "doubt": 1 - |2p - 1| of the step score p nearest 0.5, among the steps up to the first with
      p < 0.5. No outcome is needed.
    - "convincing": the chain score, for four chains in a row only where the outcome is known and
      not correct (0 otherwise), for each fifth whatever the outcome.

    Added is twice the standard deviation of the chain scores over the scorers (which is at most
    0.5); taken off are the share of its steps that chosen chains have too, and `PROBLEM_PENALTY`
    for each chosen chain of its problem. Chains that no scorer rated come by diversity alone; equal
    values keep the records' order.

    Args:
        records: Chains with scores and, where there is an answer to check, outcomes.
        count: How many to choose; by default all are put in order.
        first: Which chains come first.
        scorers: The names whose scores count; by default all that a record has.
        rule: The aggregation that makes a chain score.

    Raises:
        RungError: A named scorer scored no chain, or there is no such aggregation.
    """
    if rule not in AGGREGATIONS:
        raise RungError(f"there is no aggregation {rule!r}; known are {', '.join(AGGREGATIONS)}")
    for name in scorers:
        if not any(record.scores_by(name) for record in records):
            raise RungError(f"no chain has scores by {name!r}")
    lines = {
        worth: _Line.of(_merit(record, scorers, rule, worth) for record in records)
        for worth in dict.fromkeys(_TURNS[first])
    }
    taken = _Taken()
    wanted = len(records) if count is None else min(count, len(records))
    turns = (lines[worth] for worth in cycle(_TURNS[first]))
    return [next(turns).choose(records, taken) for _ in range(wanted)]


@dataclass(frozen=True, slots=True)
class _Merit:
    """What a chain is worth by itself."""

    value: float
    reasons: tuple[str, ...]


_Worth = Callable[[ChainRecord, Sequence[StepScores], str], _Merit]


def _merit(record: ChainRecord, names: Sequence[str], rule: str, worth: _Worth) -> _Merit:
    scores = [s for s in record.scores if s.known and (not names or s.scorer in names)]
    if not scores:
        return _Merit(0.0, ("not scored",))
    merit = worth(record, scores, rule)
    if len(scores) == 1:
        return merit
    spread = pstdev(AGGREGATIONS[rule](s.known) for s in scores)
    told = f"{len(scores)} scorers differ by {spread:.2f}"
    return _Merit(merit.value + 2 * spread, (*merit.reasons, told))


def _doubt(record: ChainRecord, scores: Sequence[StepScores], rule: str) -> _Merit:
    doubted = [min(_read(s), key=_sureness) for s in scores]
    value = fmean(1 - _sureness(score) for score in doubted)
    return _Merit(value, (f"a step scored {min(doubted, key=_sureness):.2f}",))


def _sureness(score: float) -> float:
    return abs(2 * score - 1)


def _read(scores: StepScores) -> Iterable[float]:
    """The scores up to the first step that is called wrong, as labels go up to the first error."""
    for score in scores.known:
        yield score
        if score < 0.5:
            return


def _convincing(record: ChainRecord, scores: Sequence[StepScores], rule: str) -> _Merit:
    value = fmean(AGGREGATIONS[rule](s.known) for s in scores)
    return _Merit(value, (f"scored {value:.2f}",))


def _convincing_mistake(record: ChainRecord, scores: Sequence[StepScores], rule: str) -> _Merit:
    if record.outcome is None or record.outcome.is_correct:
        return _Merit(0.0, ())
    value = _convincing(record, scores, rule).value
    return _Merit(value, (f"wrong answer, scored {value:.2f}",))


_TURNS: dict[First, tuple[_Worth, ...]] = {
    "doubt": (_doubt,),
    "convincing": (*[_convincing_mistake] * 4, _convincing),
}
"""What each chain in turn is chosen by, over and over."""


@dataclass(slots=True)
class _Taken:
    """What the chosen chains hold."""

    chains: set[int] = field(default_factory=set[int])
    steps: set[str] = field(default_factory=set[str])
    problems: Counter[str] = field(default_factory=Counter[str])

    def add(self, index: int, record: ChainRecord) -> None:
        self.chains.add(index)
        self.steps.update(step.id for step in record.chain.steps)
        self.problems[record.chain.problem.root_id] += 1

    def overlap(self, record: ChainRecord) -> float:
        shared = self._shared(record) / len(record.chain.steps)
        return shared + PROBLEM_PENALTY * self.problems[record.chain.problem.root_id]

    def reasons(self, record: ChainRecord) -> tuple[str, ...]:
        if not self.problems[record.chain.problem.root_id]:
            return ("a new problem",)
        return (f"shares {self._shared(record)} of {len(record.chain.steps)} steps",)

    def _shared(self, record: ChainRecord) -> int:
        return sum(step.id in self.steps for step in record.chain.steps)


@dataclass(frozen=True, slots=True)
class _Line:
    """All chains by one kind of worth; what the chosen ones take off is found out late."""

    merits: Sequence[_Merit]
    heap: list[tuple[float, int]]

    @classmethod
    def of(cls, merits: Iterable[_Merit]) -> _Line:
        held = list(merits)
        heap = [(-merit.value, index) for index, merit in enumerate(held)]
        heapq.heapify(heap)
        return cls(held, heap)

    def choose(self, records: Sequence[ChainRecord], taken: _Taken) -> Choice:
        """The best that is not taken; one is left."""
        while True:
            _, index = heapq.heappop(self.heap)
            if index in taken.chains:
                continue
            merit, record = self.merits[index], records[index]
            value = merit.value - taken.overlap(record)
            # values only fall while chains are chosen, so one that still leads is the best of all
            if self.heap and (-value, index) > self.heap[0]:
                heapq.heappush(self.heap, (-value, index))
                continue
            choice = Choice(index, value, (*merit.reasons, *taken.reasons(record)))
            taken.add(index, record)
            return choice
