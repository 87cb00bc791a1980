"""The vocabulary: problems, steps, chains, labels, scores.

Every type is a frozen dataclass, written once; it is the Python value and the JSON row.
A missing value is None, never 0. ``docs/concepts.md`` has the words and the shape letters.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

MAX_STEP_CHARS = 2**16
"""A longer step in a file is a text that nobody split, or a policy that never stopped."""


class Verdict(StrEnum):
    """What a verifier says of a final answer (or of a step)."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNPARSED = "unparsed"
    """No answer was found in the model's text, or it could not be read."""
    TIMEOUT = "timeout"
    """The check was stopped before it could say."""

    @property
    def is_correct(self) -> bool:
        """True for CORRECT alone: whatever could not be confirmed does not count as right."""
        return self is Verdict.CORRECT


@dataclass(frozen=True, slots=True)
class Problem:
    """A task: a question with the means to check an answer to it."""

    id: str
    question: str
    answer: str | None = None
    """The reference answer, where there is one."""
    tests: tuple[str, ...] | None = None
    """Unit tests, for a problem whose answer is a program."""
    domain: str | None = None
    premises: tuple[str, ...] | None = None
    """What a proof starts from: formulas for Z3, or Lean's text with the theorem last."""

    @property
    def root_id(self) -> str:
        """The id of the empty prefix: equal questions share it, whatever their ids."""
        return _digest(["problem", self.question])


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a chain. Its id is the hash of its whole prefix (see `step_id`)."""

    text: str
    id: str = ""
    role: str | None = None
    observation: str | None = None
    """What came back, when the step called a tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a chain came from."""

    policy: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    finish_reason: str | None = None
    """"stop" when the policy ended the chain itself, "length" when it was cut off."""
    num_tokens: int | None = None
    """Tokens sampled for this chain."""
    step_logprobs: tuple[float | None, ...] | None = None
    """For each step the log-probability of its tokens, those of the separator or the end behind it
    too: their sum, under the policy itself at temperature 1. None where they were not kept."""

    def logprobs_for(self, num_steps: int) -> tuple[float | None, ...]:
        """Those of the first `num_steps` steps; None where there are none."""
        kept = (self.step_logprobs or ())[:num_steps]
        return kept + (None,) * (num_steps - len(kept))

    def for_steps(self, num_steps: int) -> Provenance:
        """The same for a chain with so many of the steps, or with further ones behind them."""
        if self.step_logprobs is None:
            return self
        return replace(self, step_logprobs=self.logprobs_for(num_steps))


@dataclass(frozen=True, slots=True)
class Chain:
    """A problem with the steps written for it so far.

    Chains with a common prefix share step ids, so a set of chains is a tree. Step ids are
    derived here when they are missing and checked when they are given.

    Raises:
        ValueError: A step carries an id that is not the hash of its prefix.
    """

    problem: Problem
    steps: tuple[Step, ...]
    answer: str | None = None
    """The final answer as text; None when the chain has none (yet)."""
    id: str | None = None
    source: Provenance | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", _with_ids(self.problem.root_id, self.steps))

    @classmethod
    def of(
        cls,
        problem: Problem,
        texts: Iterable[str],
        *,
        answer: str | None = None,
        id: str | None = None,
        source: Provenance | None = None,
    ) -> Chain:
        """A chain from plain step texts."""
        return cls(problem, tuple(Step(text) for text in texts), answer, id, source)

    @property
    def prefix_id(self) -> str:
        """The id of the last step; the problem's root id when there are no steps."""
        return self.steps[-1].id if self.steps else self.problem.root_id

    @property
    def texts(self) -> tuple[str, ...]:
        """The step texts, in order."""
        return tuple(step.text for step in self.steps)

    def prefix(self, num_steps: int) -> Chain:
        """The chain cut after `num_steps` steps, without its answer."""
        return Chain(self.problem, self.steps[:num_steps], source=self._source_for(num_steps))

    def extend(self, *texts: str) -> Chain:
        """The chain with further steps written behind it, without an answer."""
        source = self._source_for(len(self.steps) + len(texts))
        return Chain(self.problem, (*self.steps, *map(Step, texts)), source=source)

    def _source_for(self, num_steps: int) -> Provenance | None:
        return None if self.source is None else self.source.for_steps(num_steps)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from rung.core.html import chain_html

        return chain_html(self)


class RolloutCount(NamedTuple):
    """How a label was estimated: `correct` of `total` rollouts reached the right answer."""

    correct: int
    total: int


@dataclass(frozen=True, slots=True)
class StepLabels:
    """Training targets for a chain's steps, from one source.

    Raises:
        ValueError: A label, rating or count is out of range, or the lengths differ.
    """

    labels: tuple[float | None, ...]
    """In [0, 1], 1 is right; None means not judged. Soft labels stay floats."""
    source: str
    """Who says so: "human", "arithmetic", "rollout", "judge:NAME", ..."""
    ratings: tuple[int | None, ...] | None = None
    """A person's -1 / 0 / +1, where the labels come from ratings."""
    counts: tuple[RolloutCount | None, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", _unit_interval(self.labels, "label"))
        for name in ("ratings", "counts"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.labels):
                raise ValueError(f"{len(column)} {name} for {len(self.labels)} labels")
        if any(rating not in (None, -1, 0, 1) for rating in self.ratings or ()):
            raise ValueError(f"ratings are -1, 0 or 1, not {self.ratings}")
        for count in self.counts or ():
            if count is not None and not 0 <= count[0] <= count[1]:
                raise ValueError(f"a count is {count[0]} correct of {count[1]} rollouts")

    @property
    def first_error(self) -> int | None:
        """Index of the first step labelled below 0.5; None when there is none."""
        wrong = (k for k, y in enumerate(self.labels) if y is not None and y < 0.5)
        return next(wrong, None)


@dataclass(frozen=True, slots=True)
class StepScores:
    """One scorer's reading of a chain: P(this step is right, given its prefix), per step.

    An ORM scores the last step only. A step beyond the scorer's context has score None.

    Raises:
        ValueError: A score is outside [0, 1] or not a number.
    """

    scores: tuple[float | None, ...]
    scorer: str
    weights_hash: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", _unit_interval(self.scores, "score"))

    @property
    def known(self) -> tuple[float, ...]:
        """The scores that are there, in order."""
        return tuple(score for score in self.scores if score is not None)


@dataclass(frozen=True, slots=True)
class ChainRecord:
    """A chain with all that is known of it: one row of a rung file.

    Raises:
        ValueError: The chain has no steps or an endless one (`MAX_STEP_CHARS`), or labels or
            scores don't match its steps.
    """

    chain: Chain
    labels: tuple[StepLabels, ...] = ()
    scores: tuple[StepScores, ...] = ()
    outcome: Verdict | None = None
    """The verifier's verdict on the final answer; None when nobody checked."""
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        num_steps = len(self.chain.steps)
        if num_steps == 0:
            raise ValueError("the chain has no steps")
        for index, text in enumerate(self.chain.texts):
            if len(text) > MAX_STEP_CHARS:
                raise ValueError(
                    f"step {index} has {len(text)} characters, expected at most {MAX_STEP_CHARS}"
                    " (was the text split into steps?)"
                )
        source = self.chain.source or Provenance()
        logprobs = () if source.step_logprobs is None else (source.step_logprobs,)
        for kind, length in [
            *(("log-probabilities", len(values)) for values in logprobs),
            *((f"labels of {y.source!r}", len(y.labels)) for y in self.labels),
            *((f"scores of {s.scorer!r}", len(s.scores)) for s in self.scores),
        ]:
            if length != num_steps:
                raise ValueError(f"{kind}: {length} for {num_steps} steps")

    def with_labels(self, labels: StepLabels) -> ChainRecord:
        """The record with these labels in place of earlier ones from the same source."""
        others = tuple(y for y in self.labels if y.source != labels.source)
        return replace(self, labels=(*others, labels))

    def with_scores(self, scores: StepScores) -> ChainRecord:
        """The record with these scores in place of earlier ones by the same scorer."""
        others = tuple(s for s in self.scores if s.scorer != scores.scorer)
        return replace(self, scores=(*others, scores))

    def labels_from(self, source: str | None = None) -> StepLabels | None:
        """The labels of `source`; without a name, of the only source there is."""
        if source is None:
            return self.labels[0] if len(self.labels) == 1 else None
        return next((y for y in self.labels if y.source == source), None)

    def scores_by(self, scorer: str | None = None) -> StepScores | None:
        """The scores by `scorer`; without a name, by the only scorer there is."""
        if scorer is None:
            return self.scores[0] if len(self.scores) == 1 else None
        return next((s for s in self.scores if s.scorer == scorer), None)

    def is_refuted_by(self, source: str) -> bool:
        """Whether `source` labels a step below 0.5; where it says nothing, nothing is refuted."""
        labels = self.labels_from(source)
        return labels is not None and labels.first_error is not None

    def _repr_html_(self) -> str:
        """What a notebook shows: the steps colored by the first scorer, all opinions beside."""
        from rung.core.html import record_html

        return record_html(self)


def step_id(parent_id: str, step: Step) -> str:
    """Identify a step by its whole prefix: hash of the parent's id and the step's content.

    The idea is simonw/llm's content-addressed log (llm/logs.py). 96 bits: among a hundred
    million steps the chance of any collision is below 1e-12.
    """
    return _digest([parent_id, step.text, step.role, step.observation])


def _digest(content: list[str | None]) -> str:
    return hashlib.blake2b(msgspec.json.encode(content), digest_size=12).hexdigest()


def _with_ids(parent_id: str, steps: Sequence[Step]) -> tuple[Step, ...]:
    named: list[Step] = []
    for index, step in enumerate(steps):
        parent_id = step_id(parent_id, step)
        if step.id and step.id != parent_id:
            raise ValueError(f"step {index} has id {step.id!r}, its prefix hashes to {parent_id!r}")
        named.append(step if step.id else replace(step, id=parent_id))
    return tuple(named)


def _unit_interval(values: Sequence[float | None], what: str) -> tuple[float | None, ...]:
    """The values as plain floats (they may come as numpy's), checked."""
    for index, value in enumerate(values):
        if value is not None and not (math.isfinite(value) and 0.0 <= value <= 1.0):
            raise ValueError(f"{what} {index} is {value}, expected a number in [0, 1] or null")
    return tuple(None if value is None else float(value) for value in values)
