"""A policy that is a tree written by hand, and a scorer that is a table."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rung.core import Chain, Problem, Provenance, Sampling, Step, StepScores

PROBLEM = Problem("p", "Which way?", answer="yes")
Tree = Mapping[str, Sequence[str]]
"""From a prefix, its steps joined by spaces, to the next steps; a prefix that is not there has
come to its end, and its last step is the answer."""


def words(chain: Chain) -> str:
    return " ".join(chain.texts)


@dataclass
class TreePolicy:
    """Continues a prefix by its next steps in turn, over all calls; greedily by the first."""

    tree: Tree
    name: str = "tree"
    asked: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    """Every call: how a prefix reads, and how often it stood in it."""
    _turn: Counter[str] = field(default_factory=Counter[str])

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        self.asked += Counter(map(words, prefixes)).items()
        return [[self._write(prefix, sampling) for _ in range(n)] for prefix in prefixes]

    def _write(self, prefix: Chain, sampling: Sampling) -> Chain:
        steps, written = list(prefix.texts), 0
        while nexts := self.tree.get(" ".join(steps)):
            place = " ".join(steps)
            turn = 0 if sampling.temperature == 0 else self._turn[place]
            self._turn[place] += sampling.temperature > 0
            steps.append(nexts[turn % len(nexts)])
            written += 1
            if sampling.until == "step":
                break
        is_over = " ".join(steps) not in self.tree
        source = Provenance(finish_reason="stop" if is_over else None, num_tokens=written)
        new = map(Step, steps[len(prefix.steps) :])
        answer = steps[-1] if is_over and steps else None
        return Chain(prefix.problem, (*prefix.steps, *new), answer, source=source)


@dataclass
class DicePolicy:
    """Rolls a die a step, with random numbers named by seed, prefix and place in the call."""

    steps: int = 4
    sides: int = 6
    name: str = "dice"
    calls: int = 0

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        self.calls += 1
        seen = Counter[str]()
        groups: list[list[Chain]] = []
        for prefix in prefixes:
            groups.append([])
            for _ in range(n):
                name = f"{sampling.seed} {prefix.prefix_id} {seen[prefix.prefix_id]}"
                seen[prefix.prefix_id] += 1
                groups[-1].append(self._write(prefix, sampling, random.Random(name)))
        return groups

    def _write(self, prefix: Chain, sampling: Sampling, draws: random.Random) -> Chain:
        room = min(self.steps - len(prefix.steps), sampling.max_tokens)
        count = min(room, 1) if sampling.until == "step" else room
        new = [str(draws.randint(1, self.sides)) for _ in range(count)]
        chain = prefix.extend(*new)
        is_over = len(chain.steps) == self.steps
        reason = "stop" if is_over else "length" if count == sampling.max_tokens else None
        reason = None if sampling.until == "step" and count and not is_over else reason
        source = Provenance(finish_reason=reason, num_tokens=count)
        return Chain(chain.problem, chain.steps, new[-1] if is_over else None, source=source)


@dataclass
class TableScorer:
    """Gives a step the score that `table` has for its text, else what `otherwise` says."""

    table: Mapping[str, float] = field(default_factory=dict[str, float])
    otherwise: Callable[[str], float] = lambda text: 0.5
    name: str = "table"
    scored: list[Chain] = field(default_factory=list[Chain])

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        self.scored += chains
        return [
            StepScores(tuple(self.table.get(t, self.otherwise(t)) for t in c.texts), self.name)
            for c in chains
        ]


@dataclass
class WordPolicy:
    """Writes the steps of a `TreePolicy` word by word, a token each, and can pause inside one."""

    tree: Tree
    name: str = "words"
    writes_inside_steps: bool = True
    separator_tokens: int = 0
    """Tokens behind a step's last word."""
    asked: list[tuple[str, int, bool]] = field(default_factory=list[tuple[str, int, bool]])
    """Every call: how a prefix reads, how often it stood in it, and whether inside a step."""
    _turn: Counter[str] = field(default_factory=Counter[str])

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        assert sampling.until == "step"
        counts = Counter(map(words, prefixes)).items()
        self.asked += [(place, count, sampling.inside_step) for place, count in counts]
        return [[self._write(prefix, sampling) for _ in range(n)] for prefix in prefixes]

    def _write(self, prefix: Chain, sampling: Sampling) -> Chain:
        whole = prefix.texts[:-1] if sampling.inside_step else prefix.texts
        begun = prefix.texts[-1] if sampling.inside_step else ""
        nexts = [step for step in self.tree[" / ".join(whole)] if step.startswith(begun)]
        step = nexts[self._turn[words(prefix)] % len(nexts)]
        self._turn[words(prefix)] += 1
        left = step[len(begun) :].split(" ")
        left = left[1:] if begun else left
        total = len(left) + self.separator_tokens
        count = min(total, sampling.max_tokens)
        text = " ".join([*([begun] if begun else []), *left[:count]])
        is_over = count == total and " / ".join((*whole, text)) not in self.tree
        reason = "length" if count < total else "stop" if is_over else None
        source = Provenance(finish_reason=reason, num_tokens=count)
        answer = text if is_over else None
        return Chain.of(prefix.problem, (*whole, text), answer=answer, source=source)


class Look(NamedTuple):
    """A session's `ScoredStep`, without torch."""

    id: str
    score: float | None


@dataclass
class Reader(TableScorer):
    """A `TableScorer` with sessions: what is there of a step has a score of its own."""

    kind: str = "prm"
    weights_hash: str | None = None
    has_sessions: bool = True
    reads_unfinished_steps: bool = True
    looked: list[str] = field(default_factory=list[str])

    def open(self, problem: Problem, *, max_kept_mib: float | None = None) -> Reader:
        self._chains = {problem.root_id: Chain(problem, ())}
        return self

    def add(self, problem: Problem) -> str:
        self._chains[problem.root_id] = Chain(problem, ())
        return problem.root_id

    def extend(self, prefix_ids: Sequence[str], steps: Sequence[Step]) -> list[Look]:
        return [self._score(*pair) for pair in zip(prefix_ids, steps, strict=True)]

    def peek(
        self, prefix_ids: Sequence[str], texts: Sequence[str], *, hold: bool = False
    ) -> list[Look]:
        self.looked += texts
        return [self._score(k, Step(text)) for k, text in zip(prefix_ids, texts, strict=True)]

    def drop(self, prefix_ids: Iterable[str]) -> None:
        """Nothing costs memory here."""

    def _score(self, prefix_id: str, step: Step) -> Look:
        chain = self._chains[prefix_id].extend(step.text)
        self._chains[chain.prefix_id] = chain
        return Look(chain.prefix_id, self.table.get(step.text, self.otherwise(step.text)))
