"""Policies and scorers of searches that do what they were not asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rung.core import Chain, Problem, Provenance, Sampling, Step, StepScores
from tree_policy import DicePolicy


@dataclass
class Odd:
    """A policy that writes what `write` says of each prefix."""

    write: Callable[[Chain, Sampling], list[Chain]]
    name: str = "odd"

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        return [self.write(prefix, sampling) for prefix in prefixes]


def nothing(prefix: Chain, sampling: Sampling) -> list[Chain]:
    return [prefix]


def no_chain(prefix: Chain, sampling: Sampling) -> list[Chain]:
    return []


def elsewhere(prefix: Chain, sampling: Sampling) -> list[Chain]:
    return [Chain.of(Problem("other", "Where?"), ["here"])]


def endless_chain(prefix: Chain, sampling: Sampling) -> list[Chain]:
    """Steps that end, of a chain that does not."""
    is_whole = sampling.until == "end"
    source = Provenance(finish_reason="length" if is_whole else None, num_tokens=1)
    return [Chain(prefix.problem, (*prefix.steps, Step("and on")), source=source)]


def endless_step(prefix: Chain, sampling: Sampling) -> list[Chain]:
    source = Provenance(finish_reason="length", num_tokens=sampling.max_tokens)
    return [Chain(prefix.problem, (*prefix.steps, Step("and on and")), source=source)]


def raises(prefix: Chain, sampling: Sampling) -> list[Chain]:
    raise ConnectionError("the server is gone")


@dataclass
class Dies(DicePolicy):
    """Is gone from a call on."""

    at_call: int = 2

    def sample(self, prefixes: Any, n: int, sampling: Sampling) -> list[list[Chain]]:
        if self.calls == self.at_call:
            raise ConnectionError("the server is gone")
        return super().sample(prefixes, n, sampling)


def no_numbers(chains: Sequence[Chain]) -> list[StepScores]:
    return [StepScores((float("nan"),) * len(chain.steps), "s") for chain in chains]
