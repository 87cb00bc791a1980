"""The one driver of searches: it samples, scores, counts, logs, and tells the searches.

Many searches are under way at once. One thread samples and one scores, so that while the steps of
some searches are scored those of others are written; with a scorer or a policy in another process
or on another device both are busy at the same time. What a search is told doesn't depend on the
others, but for the rounding of batches.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

from rung.core.errors import RungError
from rung.core.progress import Silent
from rung.core.protocols import Generator, Progress, Sampling, Scorer
from rung.core.types import Chain, Problem, StepScores
from rung.search.budget import Budget, Prices
from rung.search.growth import Growth, Search, SpanningSearch, is_part
from rung.search.job import Job
from rung.search.lanes import Call, Lane
from rung.search.log import Ended, Piece, Sampled, Scored, SearchLog
from rung.search.result import SearchResult, results_of
from rung.search.rules import Rule
from rung.search.sampler import Order, sample
from rung.search.scoring import GrowingScorer, growing


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the searches of a run share."""

    generator: Generator
    scorer: Scorer | None = None
    """None: for searches that ask for no scores."""
    pick: Rule
    """Picks the answer among the chains that came to an end."""
    sampling: Sampling = field(default_factory=Sampling)
    """`max_tokens` bounds each continuation; `until` is the search's to say."""
    budget: Budget = field(default_factory=Budget)
    """Of each search."""
    prices: Prices = field(default_factory=Prices)
    max_steps: int = 256
    """A longer chain is not continued."""
    in_flight: int = 64
    """Searches that are under way at once."""
    batch: int = 128
    """Continuations that are written, and chains that are scored, in one call."""
    max_kept_mib: float | None = None
    """Memory for the keys and values of growing prefixes in the scorer; None keeps all."""


@dataclass(slots=True)
class Busy:
    """Where the time of a run went, in seconds."""

    sampling_s: float = 0.0
    scoring_s: float = 0.0
    total_s: float = 0.0


def run_searches(
    search: Search | SpanningSearch,
    problems: Sequence[Problem],
    setting: Setting,
    *,
    log: SearchLog | None = None,
    progress: Progress | None = None,
    busy: Busy | None = None,
) -> list[SearchResult]:
    """Search for an answer to each problem; results come in the problems' order.

    A policy or scorer that raises ends the searches that were waiting for it, with what they have
    ("failed"); with a log, the same call goes on from there. One that is unavailable twice in a
    row is not called again.
    """
    if not problems:
        raise RungError("there are no problems to search for")
    jobs = _jobs(search, problems, setting)
    progress = progress or Silent()
    progress.start("search", len(problems))
    run = _Run(setting, log or SearchLog(), progress, busy or Busy())
    run.to_the_end(jobs)
    return [result for job in jobs for result in run.results[id(job)]]


@dataclass(slots=True)
class _Round:
    """What a search waits for."""

    job: Job
    orders: list[tuple[int, Order]]
    """With the index of the ask that each belongs to."""
    pieces: dict[int, tuple[Piece, ...]] = field(default_factory=dict[int, tuple[Piece, ...]])
    """What was sampled, by the order's place."""

    def chains(self, policy: str) -> Iterator[tuple[int, list[Chain]]]:
        """The chains of each order that is filled, with its ask."""
        for place, (ask, order) in enumerate(self.orders):
            if place in self.pieces:
                yield ask, order.chains(self.pieces[place], policy)


@dataclass(slots=True)
class _Run:
    setting: Setting
    log: SearchLog
    progress: Progress
    busy: Busy
    results: dict[int, list[SearchResult]] = field(default_factory=dict[int, list[SearchResult]])
    """By the job's identity."""
    _scorer: GrowingScorer | None = None
    _waiting: deque[Job] = field(default_factory=deque[Job])
    _ready: deque[Job] = field(default_factory=deque[Job])
    _num_flying: int = 0
    _to_sample: deque[tuple[_Round, int]] = field(default_factory=deque[tuple[_Round, int]])
    _to_score: deque[_Round] = field(default_factory=deque[_Round])
    _over: list[Problem] = field(default_factory=list[Problem])
    """Problems that the scorer may forget."""
    _began_s: float = field(default_factory=time.monotonic)

    def to_the_end(self, jobs: Sequence[Job]) -> None:
        """Run all searches."""
        self._waiting.extend(jobs)
        scorer, most = self.setting.scorer, self.setting.max_kept_mib
        self._scorer = None if scorer is None else growing(scorer, max_kept_mib=most)
        with ThreadPoolExecutor(1) as sampling, ThreadPoolExecutor(1) as scoring:
            lanes = [Lane(sampling, self._next_sampling), Lane(scoring, self._next_scoring)]
            while True:
                self._advance()
                for lane in lanes:
                    lane.feed()
                running = [lane.future for lane in lanes if lane.future is not None]
                if not running:
                    break
                wait(running, return_when=FIRST_COMPLETED)
                for lane in lanes:
                    lane.collect()
        self.busy.sampling_s, self.busy.scoring_s = (lane.busy_s for lane in lanes)
        self.busy.total_s = time.monotonic() - self._began_s

    def _advance(self) -> None:
        """Ask every search that has its answers what it wants next."""
        while self._ready or (self._waiting and self._num_flying < self.setting.in_flight):
            if not self._ready:
                self._num_flying += 1
                self._ready.append(self._waiting.popleft())
                self._ready[0].begin()
            self._order(self._ready.popleft())

    def _order(self, job: Job) -> None:
        limit_s = self.setting.budget.seconds
        if limit_s is not None and time.monotonic() - self._began_s >= limit_s:
            job.end("seconds")
        orders = job.orders()
        if not orders:
            self._finish(job)
            return
        if any(order.pauses for _, order in orders):
            self._check_looks()
        made = _Round(job, orders)
        for place, (_, order) in enumerate(orders):
            if order.key in self.log.sampled:
                made.pieces[place] = self.log.sampled[order.key]
            else:
                self._to_sample.append((made, place))
        self._take_samples([made])

    def _check_looks(self) -> None:
        if not getattr(self.setting.generator, "writes_inside_steps", False):
            raise RungError(f"the policy {self.setting.generator.name} can't pause inside a step")
        if self._scorer is not None and not self._scorer.reads_unfinished_steps:
            raise RungError(
                f"the scorer {self._scorer.name} can't score a step before it ends, so nothing"
                " can be given up inside one"
            )

    def _next_sampling(self) -> Call | None:
        """Orders that agree in how they are sampled, about a batch of them."""
        taken, later = list[tuple[_Round, int]](), list[tuple[_Round, int]]()
        size, how, prefixes = 0, None, set[str]()
        while self._to_sample and size < self.setting.batch:
            made, place = self._to_sample.popleft()
            order = made.orders[place][1]
            how = how or order.how
            if order.how != how or order.prefix.prefix_id in prefixes:
                later.append((made, place))
            elif made.job.reason is None:
                taken.append((made, place))
                prefixes.add(order.prefix.prefix_id)
                size += order.n
        self._to_sample.extendleft(reversed(later))
        orders = [made.orders[place][1] for made, place in taken]
        must_count = self.setting.budget.tokens is not None or self.setting.budget.money is not None
        return (
            Call(
                partial(sample, self.setting.generator, orders, must_count=must_count),
                partial(self._sampled, taken),
                partial(self._fail, [made for made, _ in taken]),
            )
            if taken
            else None
        )

    def _sampled(
        self, taken: Sequence[tuple[_Round, int]], answers: Sequence[tuple[Piece, ...]]
    ) -> None:
        for (made, place), pieces in zip(taken, answers, strict=True):
            made.pieces[place] = pieces
            self.log.add(Sampled(made.orders[place][1].key, pieces))
        self._take_samples({id(made): made for made, _ in taken}.values())

    def _take_samples(self, rounds: Iterable[_Round]) -> None:
        """Rounds whose chains are all there go on: to the scorer, or to their searches."""
        for made in rounds:
            if len(made.pieces) == len(made.orders) and made.job.reason is None:
                if self._unscored(made):
                    self._to_score.append(made)
                else:
                    self._tell(made)

    def _next_scoring(self) -> Call | None:
        rounds, chains = list[_Round](), dict[str, Chain]()
        while self._to_score and len(chains) < self.setting.batch:
            made = self._to_score.popleft()
            if made.job.reason is None:
                rounds.append(made)
                chains |= self._unscored(made)
        if not rounds:
            return None
        assert self._scorer is not None
        scorer, over, self._over = self._scorer, self._over, []
        return Call(
            partial(_score, scorer, list(chains.values()), over),
            partial(self._scored, rounds, list(chains)),
            partial(self._fail, rounds),
        )

    def _scored(
        self, rounds: Sequence[_Round], keys: Sequence[str], scores: Sequence[StepScores]
    ) -> None:
        pairs = zip(keys, scores, strict=True)
        self.log.add(*(Scored(key, found.scores) for key, found in pairs))
        for made in rounds:
            self._tell(made)

    def _unscored(self, made: _Round) -> dict[str, Chain]:
        """The chains that need scores and have none, by their names in the log."""
        if self._scorer is None:
            return {}
        chains = (
            chain
            for ask, group in made.chains(self.setting.generator.name)
            if made.job.is_scored(ask)
            for chain in group
            if chain.steps
        )
        named = {_name(chain): chain for chain in chains}
        return {name: chain for name, chain in named.items() if name not in self.log.scored}

    def _tell(self, made: _Round) -> None:
        self._fill(made)
        self._ready.append(made.job)

    def _fill(self, made: _Round) -> None:
        for ask, chains in made.chains(self.setting.generator.name):
            is_scored = self._scorer is not None and made.job.is_scored(ask)
            made.job.fill(ask, chains, [self._scores(c) if is_scored else None for c in chains])

    def _scores(self, chain: Chain) -> StepScores | None:
        found = self.log.scored.get(_name(chain))
        weights_hash = getattr(self.setting.scorer, "weights_hash", None)
        assert self._scorer is not None
        return None if found is None else StepScores(found, self._scorer.name, weights_hash)

    def _fail(self, rounds: Iterable[_Round], error: Exception) -> None:
        """End searches; what was written for them in this round is theirs, and paid for."""
        for made in {id(made): made for made in rounds}.values():
            if made.job.reason is None:
                self._fill(made)
                made.job.end("failed", f"{type(error).__name__}: {error}")
                self._finish(made.job)

    def _finish(self, job: Job) -> None:
        self._num_flying -= 1
        results = results_of(job, self.setting.pick)
        self.results[id(job)] = results
        self.log.add(*map(_ended, results))
        self._over += job.problems
        self.progress.advance(len(job.problems))


def _score(
    scorer: GrowingScorer, chains: Sequence[Chain], over: Sequence[Problem]
) -> list[StepScores]:
    for problem in over:
        scorer.forget(problem)
    scores = scorer.score(chains)
    if [len(s.scores) for s in scores] != [len(chain.steps) for chain in chains]:
        raise RungError(f"the scorer {scorer.name} gave other numbers of scores than of steps")
    return scores


def _jobs(search: Search | SpanningSearch, problems: Sequence[Problem], how: Setting) -> list[Job]:
    def job(of: Sequence[Problem], growth: Growth) -> Job:
        return Job(of, growth, how.budget, how.prices, how.sampling, how.max_steps)

    if isinstance(search, SpanningSearch):
        return [job(problems, search.grow_all(problems))]
    return [job([problem], search.grow(problem)) for problem in problems]


def _name(chain: Chain) -> str:
    """A chain's name in the log: scorers that judge the answer see whether there is one."""
    if is_part(chain):
        return f"{chain.prefix_id} part"
    return chain.prefix_id if chain.answer is None else f"{chain.prefix_id} {chain.answer}"


def _ended(result: SearchResult) -> Ended:
    spent, chosen = result.spent, result.chosen
    return Ended(
        result.problem.id,
        result.reason,
        spent.tokens_sampled,
        spent.tokens_scored,
        spent.calls,
        None if chosen is None else chosen.chain.prefix_id,
    )
