"""A policy that is a tree written by hand, and a scorer that is a table."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
