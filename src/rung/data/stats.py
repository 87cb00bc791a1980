"""Counts of what a set of chains holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean, median

from rung.core.types import Chain, ChainRecord, Problem, StepLabels
from rung.data.partition import problem_key


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCounts:
    """What one source says of the steps; a step that chains share is counted once."""

    chains: int
    good: int
    """Steps labeled 0.5 or more (neutral ones not among them)."""
    bad: int
    neutral: int
    """Steps that a person rated 0, whatever label that became."""
    unlabeled: int
    """Steps that nobody judged."""
    contradictory: int
    """Steps that were judged differently in different rows; counted above under each."""
    chains_without_error: int
    """Chains of which no step is labeled bad."""
    first_error_at: dict[int, int]
    """How many chains have their first bad step at each position, 0-based."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """The spread of a length."""

    min: int
    median: float
    mean: float
    max: int


@dataclass(frozen=True, slots=True)
class Stats:
    """What a set of chains holds."""

    chains: int
    problems: int
    """Problems by their text, not by their id."""
    steps: int
    distinct_steps: int
    """Steps that differ in their prefix or text: a shared prefix counts once."""
    steps_a_chain: Lengths
    characters_a_step: Lengths
    labels: dict[str, LabelCounts]
    """By the labels' source."""
    outcomes: dict[str, int]
    """Verdicts on the final answer; "unchecked" where there is none."""
    policies: dict[str, int]
    scorers: dict[str, int]


@dataclass(slots=True)
class _LabelTally:
    chains: int = 0
    ids: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    errors: Counter[int | None] = field(default_factory=Counter[int | None])

    def add(self, chain: Chain, labels: StepLabels) -> None:
        self.chains += 1
        self.errors[labels.first_error] += 1
        ratings = labels.ratings or (None,) * len(labels.labels)
        for step, label, rating in zip(chain.steps, labels.labels, ratings, strict=True):
            self.ids[_kind(label, rating)].add(step.id)

    def counts(self) -> LabelCounts:
        good, bad, neutral = self.ids["good"], self.ids["bad"], self.ids["neutral"]
        at = {k: n for k, n in self.errors.items() if k is not None}
        return LabelCounts(
            chains=self.chains,
            good=len(good),
            bad=len(bad),
            neutral=len(neutral),
            unlabeled=len(self.ids["unlabeled"] - (good | bad | neutral)),
            contradictory=len(good & bad | good & neutral | bad & neutral),
            chains_without_error=self.errors[None],
            first_error_at=dict(sorted(at.items())),
        )


def count(records: Iterable[ChainRecord]) -> Stats | None:
    """Count in one pass, without keeping the records; None when there are none."""
    problems: set[str] = set()
    step_ids: set[str] = set()
    steps_a_chain: list[int] = []
    characters: list[int] = []
    tallies: dict[str, _LabelTally] = {}
    outcomes, policies, scorers = Counter[str](), Counter[str](), Counter[str]()
    for record in records:
        chain = record.chain
        problems.add(problem_key(chain.problem.question))
        step_ids.update(step.id for step in chain.steps)
        steps_a_chain.append(len(chain.steps))
        characters.extend(map(len, chain.texts))
        outcomes[record.outcome or "unchecked"] += 1
        policies[(chain.source.policy if chain.source else None) or "unknown"] += 1
        scorers.update(scores.scorer for scores in record.scores)
        for labels in record.labels:
            tallies.setdefault(labels.source, _LabelTally()).add(chain, labels)
    if not steps_a_chain:
        return None
    return Stats(
        chains=len(steps_a_chain),
        problems=len(problems),
        steps=sum(steps_a_chain),
        distinct_steps=len(step_ids),
        steps_a_chain=_lengths(steps_a_chain),
        characters_a_step=_lengths(characters),
        labels={source: tally.counts() for source, tally in sorted(tallies.items())},
        outcomes=dict(sorted(outcomes.items())),
        policies=dict(policies.most_common()),
        scorers=dict(scorers.most_common()),
    )


@dataclass(frozen=True, slots=True)
class ProblemStats:
    """What a problem set holds."""

    problems: int
    distinct_problems: int
    """Problems by their text, not by their id."""
    with_answer: int
    with_tests: int
    characters_a_question: Lengths


def count_problems(problems: Iterable[Problem]) -> ProblemStats | None:
    """Count in one pass; None when there are none."""
    keys: set[str] = set()
    characters: list[int] = []
    with_answer = with_tests = 0
    for problem in problems:
        keys.add(problem_key(problem.question))
        characters.append(len(problem.question))
        with_answer += problem.answer is not None
        with_tests += problem.tests is not None
    if not characters:
        return None
    return ProblemStats(len(characters), len(keys), with_answer, with_tests, _lengths(characters))


def _kind(label: float | None, rating: int | None) -> str:
    if rating == 0:
        return "neutral"
    if label is None:
        return "unlabeled"
    return "good" if label >= 0.5 else "bad"


def _lengths(values: list[int]) -> Lengths:
    return Lengths(min(values), median(values), mean(values), max(values))
