"""Scorers and policies for a service, written by hand; they can be held back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from rung import Chain, Problem, RungError, Sampling, Step, StepScores
from tree_policy import Look, TableScorer, TreePolicy

ROADS = {"": ["left", "right"], "left": ["no", "maybe"], "right": ["yes", "no"]}
SCORES = {"left": 0.8, "right": 0.7, "no": 0.1, "maybe": 0.3, "yes": 0.9}


@dataclass
class Gate:
    """A call stops here until it is opened."""

    opened: Event = field(default_factory=Event)
    reached: Event = field(default_factory=Event)

    def pass_through(self) -> None:
        self.reached.set()
        assert self.opened.wait(timeout=60)


@dataclass
class ServedScorer(TableScorer):
    """A `ModelScorer` with sessions, by a table of steps; a step "fails" fails."""

    kind: str = "prm"
    family: str = "table"
    aggregation: str | None = "min"
    weights_hash: str | None = "abc"
    has_sessions: bool = True
    reads_unfinished_steps: bool = True
    gate: Gate | None = None
    calls: list[list[str]] = field(default_factory=list[list[str]])
    """The last step of every chain, by call."""
    session: HandSession | None = None

    @property
    def fingerprint(self) -> Any:
        return [self.name]

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        self.calls.append([chain.texts[-1] for chain in chains])
        if self.gate is not None:
            self.gate.pass_through()
        if any("fails" in chain.texts for chain in chains):
            raise RungError("this step fails")
        if any("breaks" in chain.texts for chain in chains):
            raise ZeroDivisionError
        return super().score(chains)

    def open(self, problem: Problem, *, max_kept_mib: float | None = None) -> HandSession:
        self.session = HandSession(self)
        self.session.add(problem)
        return self.session


@dataclass
class HandSession:
    """A `ScoringSession` without a model."""

    scorer: ServedScorer
    chains: dict[str, Chain] = field(default_factory=dict[str, Chain])

    @property
    def kept_tokens(self) -> int:
        return sum(len(chain.steps) for chain in self.chains.values())

    def add(self, problem: Problem) -> str:
        self.chains[problem.root_id] = Chain(problem, ())
        return problem.root_id

    def extend(self, prefix_ids: Sequence[str], steps: Sequence[Step]) -> list[Look]:
        before = [self.chains[prefix] for prefix in prefix_ids]
        grown = [Chain(c.problem, (*c.steps, s)) for c, s in zip(before, steps, strict=True)]
        scores = self.scorer.score(grown)
        self.chains |= {chain.prefix_id: chain for chain in grown}
        return [Look(c.prefix_id, s.scores[-1]) for c, s in zip(grown, scores, strict=True)]

    def peek(
        self, prefix_ids: Sequence[str], texts: Sequence[str], *, hold: bool = False
    ) -> list[Look]:
        return self.extend(prefix_ids, list(map(Step, texts)))

    def drop(self, prefix_ids: Iterable[str]) -> None:
        for prefix in prefix_ids:
            self.chains.pop(prefix, None)


@dataclass
class ServedPolicy(TreePolicy):
    """A `TreePolicy` that says how long its prompts are, and can be held back."""

    gate: Gate | None = None

    def prompt_tokens(self, problem: Problem) -> int:
        return len(problem.question.split())

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        if self.gate is not None:
            self.gate.pass_through()
        return super().sample(prefixes, n, sampling)
