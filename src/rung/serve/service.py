"""The service: shared models, and what requests ask of them. `rung serve` makes one."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from fastapi import HTTPException, Request

from rung.core.errors import RungError
from rung.core.protocols import Generator
from rung.core.types import Problem
from rung.score import ModelScorer
from rung.search import SearchResult
from rung.search.log import Event
from rung.serve.certain import SureStep
from rung.serve.metrics import Metrics
from rung.serve.searching import Draws, Options, Wanted, budget_of, sampling_of, search_once
from rung.serve.sessions import Sessions
from rung.serve.shared_policy import SharedPolicy
from rung.serve.shared_scorer import SharedScorer
from rung.serve.waiting import Visitor, while_here
from rung.serve.worker import FullError

if TYPE_CHECKING:
    from rung.score.pooling import Pooling

MAX_ASKED = 10_000
"""Questions of which is known how often they were asked."""
SWEEP_S = 5.0
"""How often idle sessions are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How much a service takes on at once."""

    max_waiting: int = 1024
    """Requests in each model's queue."""
    max_sessions: int = 256
    session_idle_s: float = 600.0
    max_searches: int = 16
    max_search_tokens: int = 2**20
    """Sampled and scored, of one search."""
    max_kept_mib: float = 1024.0
    """Of each scorer, for the keys and values of prefixes that sessions and searches hold."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise RungError(f"--{name.replace('_', '-')} must be above 0")


class Service:
    """Scorers and a policy, each with a thread of its own.

    Args:
        scorers: With names that differ.
        policy: None: nothing is searched or written.
        capacity: The bounds.

    Raises:
        RungError: Two models have one name, or there is none.
    """

    def __init__(
        self,
        scorers: Sequence[ModelScorer],
        policy: Generator | None = None,
        capacity: Capacity | None = None,
    ) -> None:
        names = Counter([s.name for s in scorers] + ([policy.name] if policy else []))
        if not names or max(names.values()) > 1:
            raise RungError(f"a service needs models with names that differ, not {list(names)}")
        self.capacity = capacity = capacity or Capacity()
        self.metrics = Metrics()
        self.pooling = {scorer.name: pool for scorer in scorers if (pool := _pooling(scorer))}
        self.scorers = {scorer.name: self._shared(scorer) for scorer in scorers}
        self.policy = None if policy is None else self._shared_policy(policy)
        self.sessions = Sessions(capacity.max_sessions, capacity.session_idle_s)
        self._searching = ThreadPoolExecutor(capacity.max_searches, "search")
        self._num_searches = 0
        self._asked = Counter[str]()
        self.metrics.watch("rung_sessions", "Open sessions.", lambda: len(self.sessions))
        self.metrics.watch("rung_searches", "Searches that run.", lambda: self._num_searches)

    def scorer(self, name: str | None) -> SharedScorer:
        """The scorer of this name, or the only one.

        Raises:
            HTTPException: 404: there is none.
        """
        if name is None and len(self.scorers) == 1:
            return next(iter(self.scorers.values()))
        if name not in self.scorers:
            known = ", ".join(self.scorers) or "none"
            raise HTTPException(404, f"there is no scorer {name!r}; there is {known}")
        return self.scorers[name]

    def scorer_for(self, options: Options) -> SharedScorer | None:
        """The scorer of a search; None where it asks for no scores.

        Raises:
            HTTPException: 404: there is no such scorer.
        """
        return self.scorer(options.scorer) if options.is_scored else None

    def next_seed(self, problem: Problem) -> int:
        """A seed for who names none: how often the question was asked before.

        So asking again draws anew, and different questions that come at once, whose seeds are
        equal, are written together.
        """
        if len(self._asked) >= MAX_ASKED:
            self._asked.clear()
        self._asked[problem.root_id] += 1
        return self._asked[problem.root_id] - 1

    def wanted(
        self, problem: Problem, options: Options, draws: Draws, max_tokens: int | None = None
    ) -> Wanted:
        """A search as it is asked for, within this server's bounds."""
        seed = 0 if draws.seed is not None else self.next_seed(problem)
        sampling = sampling_of(draws, max_tokens, seed)
        cap = self.capacity.max_search_tokens
        budget = budget_of(options, sampling.max_tokens, cap)
        return Wanted(problem=problem, options=options, sampling=sampling, budget=budget)

    async def search(
        self, request: Request, wanted: Wanted
    ) -> AsyncGenerator[Event | SureStep | SearchResult]:
        """A search's events and the certain steps of its answer as they come; its result at last.

        Raises:
            FullError: Too many searches run.
            GoneError: The client went away; then the search ends.
            RungError: The search can't be made, or a model fails.
        """
        if self.policy is None:
            raise RungError("this server has no policy: it was started without --policy")
        scorer = self.scorer_for(wanted.options)
        if self._num_searches >= self.capacity.max_searches:
            raise FullError(f"{self._num_searches} searches run already")
        loop, events = asyncio.get_running_loop(), asyncio.Queue[Event | SureStep]()

        def tell(event: Event | SureStep) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        visitor = Visitor()
        work = partial(search_once, wanted, self.policy, scorer, visitor, tell)
        self._num_searches += 1
        running = loop.run_in_executor(self._searching, work)
        running.add_done_callback(self._ended)
        try:
            while (event := await while_here(request, _next(events, running))) is not None:
                yield event
            result = await running
            self.metrics.searched(result.spent.tokens_sampled, result.spent.tokens_scored)
            yield result
        finally:
            visitor.leave()

    def close(self) -> None:
        """End what is under way, and the threads."""
        for worker in [*self.scorers.values(), *([self.policy] if self.policy else [])]:
            worker.worker.close()
        self._searching.shutdown()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Ends idle sessions meanwhile; closes the service at last."""
        sweeping = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.to_thread(self.close)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP_S, self.capacity.session_idle_s))
            self.sessions.expire()

    def _ended(self, running: asyncio.Future[SearchResult]) -> None:
        self._num_searches -= 1
        if not running.cancelled():
            running.exception()  # seen, whether anybody still waits or not

    def _shared(self, scorer: ModelScorer) -> SharedScorer:
        pool = self.pooling.get(scorer.name)
        shared = SharedScorer(
            scorer,
            max_waiting=self.capacity.max_waiting,
            max_kept_mib=self.capacity.max_kept_mib,
            pool=None if pool is None else pool.rows,
            counted=self.metrics.batch,
        )
        watch = partial(self.metrics.watch, model=shared.worker.name)
        watch("rung_waiting", "Jobs that wait for a model.", lambda: shared.worker.waiting)
        watch("rung_held_prefixes", "Prefixes that are held.", lambda: shared.held_prefixes)
        watch("rung_kept_tokens", "Tokens with keys and values.", lambda: shared.kept_tokens)
        return shared

    def _shared_policy(self, policy: Generator) -> SharedPolicy:
        waiting, counted = self.capacity.max_waiting, self.metrics.batch
        shared = SharedPolicy(policy, max_waiting=waiting, counted=counted)
        about, worker = "Jobs that wait for a model.", shared.worker
        self.metrics.watch("rung_waiting", about, lambda: worker.waiting, worker.name)
        return shared


async def _next(
    events: asyncio.Queue[Event | SureStep], running: asyncio.Future[SearchResult]
) -> Event | SureStep | None:
    """The next event; None when the search is over and all its events were given."""
    if events.empty() and not running.done():
        coming = asyncio.ensure_future(events.get())
        try:
            await asyncio.wait((coming, running), return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                return coming.result()
        finally:
            coming.cancel()
    return None if events.empty() else events.get_nowait()


def _pooling(scorer: ModelScorer) -> Pooling | None:
    """What `/pooling` needs, where the scorer is a reward model that runs here and has logits."""
    if not hasattr(scorer, "reader"):
        return None
    from rung.score.pooling import Pooling
    from rung.score.reward import RewardScorer

    try:
        return Pooling(cast("RewardScorer", scorer))
    except RungError:
        return None
