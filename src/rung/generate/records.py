"""Chains for streams of problems that need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from rung.core.protocols import Generator, Sampling
from rung.core.types import Chain, ChainRecord, Problem

WINDOW_CHAINS = 256


def sample_windows(
    generator: Generator,
    problems: Iterable[Problem],
    n: int,
    sampling: Sampling,
    *,
    window_chains: int = WINDOW_CHAINS,
) -> Iterator[list[ChainRecord]]:
    """Write `n` chains for each problem, about `window_chains` at a time, in the problems' order.

    Chain j of a problem is called PROBLEM/j. A policy that writes nothing has written one empty
    step, so every chain is a row.
    """
    stream = iter(problems)
    while window := list(islice(stream, problems_a_window(n, window_chains))):
        groups = generator.sample([Chain(problem, ()) for problem in window], n, sampling)
        yield [_record(chain, index) for group in groups for index, chain in enumerate(group)]


def problems_a_window(n: int, window_chains: int = WINDOW_CHAINS) -> int:
    """How many problems are sampled together."""
    return max(1, window_chains // n)


def _record(chain: Chain, index: int) -> ChainRecord:
    if not chain.steps:
        chain = replace(chain.extend(""), answer=chain.answer)
    return ChainRecord(replace(chain, id=f"{chain.problem.id}/{index}"))
