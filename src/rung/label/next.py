"""Which chains to label next: convincing mistakes, disagreement, and no two alike.

Let's Verify Step by Step (arXiv 2305.20050, section 2.4) shows its labelers "convincing
wrong-answer" chains, those that the current PRM rates highly although their answer is wrong: they
teach it most, it says. To that we add where scorers disagree, and take off what a chain has in
common with those chosen before it. In the lab chains chosen so taught less than random ones
(recipes/data-efficiency); the paper adds a fifth of convincing chains of either kind, we don't.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev

from rung.core import AGGREGATIONS, ChainRecord, RungError, StepScores

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
    scorers: Sequence[str] = (),
    rule: str = "min",
) -> list[Choice]:
    """Order chains by what their labels would teach, the best first.

    A chain's value is its mean chain score if its outcome is known and not correct (0 otherwise),
    plus twice the standard deviation of its chain scores over the scorers (which is at most 0.5),
    minus the share of its steps that chosen chains have too, minus `PROBLEM_PENALTY` for each
    chosen chain of its problem. Chains that no scorer rated come by diversity alone; equal
    values keep the records' order.

    Args:
        records: Chains with scores and, where there is an answer to check, outcomes.
        count: How many to choose; by default all are put in order.
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
    merits = [_merit(record, scorers, rule) for record in records]
    taken = _Taken()
    heap = [(-merit.value, index) for index, merit in enumerate(merits)]
    heapq.heapify(heap)
    choices: list[Choice] = []
    while heap and (count is None or len(choices) < count):
        _, index = heapq.heappop(heap)
        value = merits[index].value - taken.overlap(records[index])
        # values only fall while chains are chosen, so one that still leads is the best of all
        if heap and (-value, index) > heap[0]:
            heapq.heappush(heap, (-value, index))
            continue
        reasons = (*merits[index].reasons, *taken.reasons(records[index]))
        choices.append(Choice(index, value, reasons))
        taken.add(records[index])
    return choices


@dataclass(frozen=True, slots=True)
class _Merit:
    """What a chain is worth by itself."""

    value: float
    reasons: tuple[str, ...]


def _merit(record: ChainRecord, names: Sequence[str], rule: str) -> _Merit:
    chosen = [s for s in record.scores if not names or s.scorer in names]
    scores = [score for s in chosen if (score := _chain_score(s, rule)) is not None]
    value, reasons = 0.0, list[str]()
    if not scores:
        return _Merit(value, ("not scored",))
    if record.outcome is not None and not record.outcome.is_correct:
        value += fmean(scores)
        reasons.append(f"wrong answer, scored {fmean(scores):.2f}")
    if len(scores) > 1:
        spread = pstdev(scores)
        value += 2 * spread
        reasons.append(f"{len(scores)} scorers differ by {spread:.2f}")
    return _Merit(value, tuple(reasons))


def _chain_score(scores: StepScores, rule: str) -> float | None:
    return AGGREGATIONS[rule](scores.known) if scores.known else None


@dataclass(slots=True)
class _Taken:
    """What the chosen chains hold."""

    steps: set[str] = field(default_factory=set[str])
    problems: Counter[str] = field(default_factory=Counter[str])

    def add(self, record: ChainRecord) -> None:
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
