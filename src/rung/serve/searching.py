"""Searches as requests ask for them: one problem, on shared models, its events as they come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from rung.core.aggregate import AGGREGATIONS
from rung.core.errors import RungError
from rung.core.protocols import Sampling
from rung.core.types import Problem
from rung.eval.pools import answer_key
from rung.search import (
    ALGORITHMS,
    NEVER,
    Budget,
    Expand,
    Growth,
    Knobs,
    SearchLog,
    SearchResult,
    Setting,
    SpanningSearch,
    rule,
    run_searches,
)
from rung.search.algorithms import UNSCORED
from rung.search.growth import Search, root
from rung.search.log import Event
from rung.search.rules import MAJORITY
from rung.serve.certain import NARROWING, SureStep, Telling
from rung.serve.shared_policy import SharedPolicy, VisitingPolicy
from rung.serve.shared_scorer import SharedScorer, VisitingScorer
from rung.serve.waiting import Visitor

ONE = "one"
"""The search that is none: one chain, step by step."""
SEARCHES = (ONE, *ALGORITHMS)
Aggregation = Literal["min", "product", "sum", "mean", "last", "max", "soft_min"]
assert set(AGGREGATIONS) == set(Aggregation.__args__)  # pyright: ignore
Count = Annotated[int, Field(ge=1, le=256)]
DEFAULT_TOKENS = 512
Tokens = Annotated[int, Field(ge=1, le=2**16)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that a search may spend."""

    tokens: Annotated[int, Field(ge=1)] | None = None
    """Sampled and scored together."""
    calls: Annotated[int, Field(ge=1)] | None = None
    """Continuations that the policy writes."""
    seconds: Positive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to search."""

    search: Annotated[str, Field(json_schema_extra={"enum": [*SEARCHES]})] = ONE
    """An algorithm of `rung search`; "one" writes one chain, step by step."""
    scorer: str | None = None
    """By its name; without one the only scorer, where the algorithm needs one."""
    n: Count = 16
    """Chains, steps a round or particles: the algorithm's N."""
    width: Annotated[int, Field(ge=1, le=64)] = 4
    """Next steps behind a kept prefix; chains in a batch (adaptive) or in flight (abort)."""
    by: Aggregation = "min"
    """How step scores are combined, to compare prefixes and to pick the answer."""
    error: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """adaptive-vote: the chance of harm that is allowed."""
    enough: Finite | None = None
    """adaptive, abort: end at a chain of this value."""
    below: Finite | None = None
    """abort: give up chains under this value."""
    budget: Limits = field(default_factory=Limits)
    max_steps: Count = 256
    """A longer chain is not continued."""

    @property
    def is_scored(self) -> bool:
        """Whether the algorithm asks for scores."""
        return self.search not in UNSCORED and (self.search != ONE or self.scorer is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """How the policy is sampled."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """1 by default; 0 takes the likeliest token each time."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Tokens | None = None
    """Tokens of one continuation: a step or a whole chain; of the whole chain where "one" is
    written."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    """By default how often this server was asked the question before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A search that is asked for."""

    problem: Problem
    options: Options
    sampling: Sampling
    budget: Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class OneChain:
    """No search: one chain, written step by step, so that it can be watched."""

    is_scored: bool
    by: str = "min"

    @property
    def rule(self) -> str:
        """There is one chain to pick; its value is its scores'."""
        return self.by if self.is_scored else MAJORITY

    def grow(self, problem: Problem) -> Growth:
        """Ask for the next step until the chain ends."""
        prefix = root(problem)
        while True:
            [grown] = yield [Expand(prefix, is_scored=self.is_scored)]
            if not grown or not grown[0].is_open:
                return
            prefix = grown[0].chain


def sampling_of(draws: Draws, max_tokens: int | None, seed: int) -> Sampling:
    """The sampling that is asked for, with defaults where nothing is said."""
    return Sampling(
        temperature=1.0 if draws.temperature is None else draws.temperature,
        top_p=1.0 if draws.top_p is None else draws.top_p,
        max_tokens=max_tokens or draws.max_tokens or DEFAULT_TOKENS,
        seed=seed if draws.seed is None else draws.seed,
    )


def budget_of(options: Options, max_tokens: int, cap: int) -> Budget:
    """The budget that is asked for, within the server's; one chain has `max_tokens` in all."""
    limits = [cap, *([options.budget.tokens] if options.budget.tokens else [])]
    if options.search == ONE:
        limits.append(max_tokens * (1 + options.is_scored))
    asked = options.budget
    return Budget(tokens=min(limits), calls=asked.calls, seconds=asked.seconds)


def search_for(options: Options) -> Search | SpanningSearch:
    """The algorithm with its settings.

    Raises:
        RungError: There is none of this name.
    """
    if options.search == ONE:
        return OneChain(is_scored=options.is_scored, by=options.by)
    if options.search not in ALGORITHMS:
        raise RungError(f"there is no search {options.search!r}; there are {', '.join(SEARCHES)}")
    lines: dict[str, Any] = {"enough": NEVER if options.enough is None else options.enough}
    lines |= {} if options.below is None else {"below": options.below}
    knobs = Knobs(
        n=options.n,
        width=options.width,
        by=options.by,
        answer_key=answer_key,
        error=options.error,
        **lines,
    )
    return ALGORITHMS[options.search](knobs)


class WatchedLog(SearchLog):
    """A log in memory that tells somebody what is added."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        super().__init__()
        self._tell = tell

    def add(self, *events: Event) -> None:
        """Keep events, and tell them."""
        super().add(*events)
        for event in events:
            self._tell(event)


def search_once(
    wanted: Wanted,
    policy: SharedPolicy,
    scorer: SharedScorer | None,
    visitor: Visitor,
    tell: Callable[[Event | SureStep], None],
) -> SearchResult:
    """Search until the end, or until the visitor leaves. Blocks; what was held is let go.

    Events are told as they come, and steps of the answer as they become certain.

    Raises:
        RungError: The search can't be made.
        Exception: What a model failed with.
    """
    search = search_for(wanted.options)
    if wanted.options.search in NARROWING:
        search = Telling(cast("Search", search), tell)
    visiting = None if scorer is None else VisitingScorer(scorer, visitor)
    setting = Setting(
        generator=VisitingPolicy(policy, visitor),
        scorer=visiting,
        pick=rule(search.rule, scorer=None, answer_key=answer_key, weigh_by=wanted.options.by),
        sampling=wanted.sampling,
        budget=wanted.budget,
        max_steps=wanted.options.max_steps,
    )
    try:
        [result] = run_searches(search, [wanted.problem], setting, log=WatchedLog(tell))
    finally:
        if visiting is not None:
            visiting.close()
    if result.reason == "failed":
        raise visitor.error or RungError(f"the search failed: {result.error}")
    return result
