"""A policy that many searches share: what they ask for alike is written in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rung.core.protocols import Generator, Sampling
from rung.core.types import Chain, Problem
from rung.serve.waiting import Visitor
from rung.serve.worker import Batch, Job, Worker

BATCH_CHAINS = 128
"""Continuations in one call."""


class SharedPolicy:
    """A policy's worker.

    Orders of equal sampling are filled together, unless they share a prefix: a chain's random
    numbers are named by its place among those of its prefix in the call.

    Args:
        policy: Is called on the worker's thread alone.
        max_waiting: Orders in its queue.
        counted: Is told of every call.
    """

    def __init__(
        self,
        policy: Generator,
        *,
        max_waiting: int,
        counted: Callable[[Batch], None] | None = None,
    ) -> None:
        self.policy = policy
        self.step_separator: str = getattr(policy, "step_separator", "\n")
        self.worker = Worker(
            f"the policy {policy.name}",
            self._do,
            batch_size=BATCH_CHAINS,
            max_waiting=max_waiting,
            counted=counted,
        )

    def prompt_tokens(self, problem: Problem) -> Job:
        """A job that counts the tokens of a problem's prompt; None where the policy can't."""
        return Job(kind="prompt", asked=problem, size=1)

    def _do(self, kind: Any, asked: list[Any]) -> Sequence[Any]:
        if kind == "prompt":
            count = getattr(self.policy, "prompt_tokens", _unknown)
            return [count(problem) for problem in asked]
        n, sampling = kind
        prefixes = [prefix for prefixes in asked for prefix in prefixes]
        groups = iter(self.policy.sample(prefixes, n, sampling))
        return [[next(groups) for _ in prefixes] for prefixes in asked]


def _unknown(problem: Problem) -> None:
    """Nobody counts."""


class VisitingPolicy:
    """A shared policy as a search sees it: a generator, for one visitor."""

    def __init__(self, shared: SharedPolicy, visitor: Visitor) -> None:
        self._shared, self._visitor = shared, visitor
        self.name = shared.policy.name
        self.writes_inside_steps: bool = getattr(shared.policy, "writes_inside_steps", False)

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        """As the policy does, together with what else waits."""
        names = frozenset(prefix.prefix_id for prefix in prefixes)
        size = n * len(prefixes)
        job = Job(kind=(n, sampling), asked=prefixes, size=size, names=names)
        return self._visitor.ask(self._shared.worker, job)
