"""The answer that a search gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rung.core.types import ChainRecord, Problem
from rung.search.budget import Reason, Spent
from rung.search.growth import Grown, distinct
from rung.search.job import Job
from rung.search.rules import Rule


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one problem, and what it took."""

    problem: Problem
    chosen: ChainRecord | None
    """None when nothing was written."""
    value: float | None
    """What the rule says of it."""
    chains: tuple[ChainRecord, ...]
    """All distinct chains that came to an end."""
    reason: Reason
    """Why the search ended."""
    spent: Spent
    """Of the whole search: of all problems together where one search spans several."""
    error: str | None = None
    """What failed."""
    is_finished: bool = True
    """The chosen chain came to its end; a search that finished none gives its best prefix."""


def results_of(job: Job, pick: Rule) -> list[SearchResult]:
    """One result a problem.

    The rule picks among the chains that the policy ended itself, equal ones as often as they were
    written; where there is none, among the longest of all that were written.
    """
    by_problem: dict[str, list[Grown]] = {}
    for one in job.told:
        if one.chain.steps:
            by_problem.setdefault(one.chain.problem.root_id, []).append(one)
    return [
        _result(job, problem, by_problem.get(problem.root_id, ()), pick) for problem in job.problems
    ]


def _result(job: Job, problem: Problem, told: Sequence[Grown], pick: Rule) -> SearchResult:
    assert job.reason is not None
    finished = [one for one in told if one.is_finished]
    told = [one for one in told if not one.is_part] or told
    longest = max((len(one.chain.steps) for one in told), default=0)
    pool = finished or [one for one in told if len(one.chain.steps) == longest]
    records = [_record(one) for one in pool]
    choice = pick(records) if records else None
    return SearchResult(
        problem,
        None if choice is None else records[choice.index],
        None if choice is None else choice.value,
        tuple(_record(one) for one in distinct(finished)),
        job.reason,
        job.spent,
        job.error,
        bool(finished),
    )


def _record(one: Grown) -> ChainRecord:
    return ChainRecord(one.chain, scores=() if one.scores is None else (one.scores,))
