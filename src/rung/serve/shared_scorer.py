"""A scorer that many requests and searches share: whole chains, and prefixes that grow.

All sessions of a scorer are one `ScoringSession`, so that their steps are scored together and
equal prefixes are kept once; a prefix stays as long as one of them holds it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from rung.core.errors import RungError, UnavailableError
from rung.core.types import Chain, Problem, Step, StepScores
from rung.score import ModelScorer
from rung.serve.waiting import Visitor
from rung.serve.worker import Batch, Job, Worker

T = TypeVar("T")
CHARS_A_TOKEN = 3
"""For the budget of a call, which needs no exact count; the model's own batches keep one."""
BATCH_TOKENS = 2**15
"""A call's budget for a scorer that does not say how many tokens it runs at once: one on a server,
or one that writes, which has its own ways to do much at once."""
BATCHES = 4
"""A call's budget in the scorer's own batches, where it says so."""


class Grow(NamedTuple):
    """Steps behind prefixes of a session, which it will hold (`is_part`: only look at)."""

    session: SharedSession
    prefixes: Sequence[str]
    steps: Sequence[Step]
    is_part: bool = False


class SharedScorer:
    """A scorer's worker. It is asked by jobs, as `scored`, `pooled` and `SharedSession` make them.

    Args:
        scorer: Is called on the worker's thread alone.
        max_waiting: Requests in its queue.
        max_kept_mib: Memory for keys and values of prefixes that sessions hold.
        pool: From sequences of token ids to rows of logits, where the scorer has them.
        counted: Is told of every call.
    """

    def __init__(
        self,
        scorer: ModelScorer,
        *,
        max_waiting: int,
        max_kept_mib: float | None = None,
        pool: Callable[[Sequence[Sequence[int]]], list[Any]] | None = None,
        counted: Callable[[Batch], None] | None = None,
    ) -> None:
        self.scorer = scorer
        self.pool = pool
        own: int | None = getattr(scorer, "batch_tokens", None)
        self.batch_tokens = BATCH_TOKENS if own is None else BATCHES * own
        self._max_kept_mib = max_kept_mib
        self._session: Any = None
        self._holders = Counter[str]()
        self.worker = Worker(
            f"the scorer {scorer.name}",
            self._do,
            batch_size=self.batch_tokens,
            max_waiting=max_waiting,
            counted=counted,
        )

    @property
    def held_prefixes(self) -> int:
        """Prefixes that sessions hold."""
        return len(self._holders)

    @property
    def kept_tokens(self) -> int:
        """Tokens whose keys and values are in memory."""
        return 0 if self._session is None else self._session.kept_tokens

    def scored(self, chains: Sequence[Chain]) -> Iterator[Job]:
        """Jobs that score chains."""
        return self._chunks("score", chains, num_tokens)

    def pooled(self, ids_BT: Sequence[Sequence[int]]) -> Iterator[Job]:
        """Jobs that make rows of sequences of tokens."""
        return self._chunks("pool", ids_BT, len)

    def call(self, call: Callable[[], Any], names: frozenset[str] = frozenset()) -> Job:
        """A job that calls something on the worker's thread, which owns the tokenizer too."""
        return Job(kind="call", asked=call, size=1, names=names)

    def _chunks(self, kind: str, items: Sequence[T], size_of: Callable[[T], int]) -> Iterator[Job]:
        """Jobs for items in order; each fits into a call, so that others get their turn."""
        chunk, size = list[T](), 0
        for item in items:
            more = size_of(item)
            if chunk and size + more > self.batch_tokens:
                yield Job(kind=kind, asked=chunk, size=size)
                chunk, size = [], 0
            chunk.append(item)
            size += more
        if chunk:
            yield Job(kind=kind, asked=chunk, size=size)

    def _do(self, kind: str, asked: list[Any]) -> Sequence[Any]:
        if kind == "call":
            return [call() for call in asked]
        if kind == "grow":
            return self._grow(asked)
        found = iter(self._found(kind, [item for items in asked for item in items]))
        return [[next(found) for _ in items] for items in asked]

    def _found(self, kind: str, items: list[Any]) -> Sequence[Any]:
        if kind == "score":
            return self.scorer.score(items)
        assert self.pool is not None
        return self.pool(items)

    def _grow(self, asked: list[Grow]) -> list[Any]:
        """Looks and whole steps take a call each; a prefix that is not held fails alone."""
        found = dict[int, Any]()
        for place, one in enumerate(asked):
            missing = [name for name in one.prefixes if name not in one.session.live]
            if missing:
                found[place] = RungError(f"no live prefix has the id {missing[0]!r}")
        for is_part in (False, True):
            places = [k for k, one in enumerate(asked) if k not in found and one.is_part == is_part]
            found |= zip(places, self._grown([asked[k] for k in places]), strict=True)
        return [found[place] for place in range(len(asked))]

    def _grown(self, asked: Sequence[Grow]) -> list[Any]:
        if not asked:
            return []
        prefixes = [name for one in asked for name in one.prefixes]
        steps = [step for one in asked for step in one.steps]
        if asked[0].is_part:
            texts = [step.text for step in steps]
            scored = iter(self._session.peek(prefixes, texts, hold=True))
        else:
            scored = iter(self._session.extend(prefixes, steps))
        groups = [[next(scored) for _ in one.steps] for one in asked]
        for one, group in zip(asked, groups, strict=True):
            self.hold(one.session, (step.id for step in group))
        return groups

    def take_up(self, session: SharedSession, problem: Problem) -> None:
        """Hold a problem's empty prefix. On the worker's thread."""
        if self._session is None:
            self._session = self.scorer.open(problem, max_kept_mib=self._max_kept_mib)
        self._session.add(problem)
        self.hold(session, [problem.root_id])

    def hold(self, session: SharedSession, names: Iterable[str]) -> None:
        """Count a session among those that hold the prefixes. On the worker's thread."""
        for name in names:
            if name not in session.live:
                session.live.add(name)
                self._holders[name] += 1

    def release(self, session: SharedSession, names: Iterable[str]) -> None:
        """Let prefixes go that nobody else holds. On the worker's thread."""
        for name in set(names) & session.live:
            session.live.remove(name)
            self._holders[name] -= 1
            if not self._holders[name]:
                del self._holders[name]
                self._session.drop([name])


class SharedSession:
    """One holder of prefixes of a shared scorer; makes jobs."""

    def __init__(self, shared: SharedScorer) -> None:
        self.shared = shared
        self.name = frozenset([f"session {id(self)}"])
        self.live = set[str]()
        """Ids of the prefixes that it holds; changed on the worker's thread."""

    def grow(self, prefixes: Sequence[str], steps: Sequence[Step], *, is_part: bool = False) -> Job:
        """A job that scores steps behind prefixes, and holds what is longer by them."""
        size = sum(len(step.text) for step in steps) // CHARS_A_TOKEN + len(steps)
        asked = Grow(self, prefixes, steps, is_part)
        return Job(kind="grow", asked=asked, size=size, names=self.name)

    def add(self, problem: Problem) -> Job:
        """A job that takes up a problem."""
        return self._call(lambda: self.shared.take_up(self, problem))

    def drop(self, names: Iterable[str] | None = None) -> Job:
        """A job that lets prefixes go; without names, all."""
        return self._call(lambda: self.shared.release(self, self.live if names is None else names))

    def _call(self, call: Callable[[], None]) -> Job:
        return self.shared.call(call, self.name)


class VisitingScorer:
    """A shared scorer as a search sees it: a scorer with sessions, for one visitor."""

    def __init__(self, shared: SharedScorer, visitor: Visitor) -> None:
        scorer = shared.scorer
        self._shared, self._visitor = shared, visitor
        self.name, self.kind, self.weights_hash = scorer.name, scorer.kind, scorer.weights_hash
        self.has_sessions = scorer.has_sessions
        self.reads_unfinished_steps: bool = getattr(scorer, "reads_unfinished_steps", False)
        self._session = SharedSession(shared)

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score them together with what else waits."""
        jobs = self._shared.scored(chains)
        return [scores for job in jobs for scores in self._ask(job)]

    def open(self, problem: Problem, *, max_kept_mib: float | None = None) -> VisitingScorer:
        """The search's session, which is this object itself; its memory is the service's."""
        self.add(problem)
        return self

    def add(self, problem: Problem) -> str:
        """Take up a problem; return the id of its empty prefix."""
        self._ask(self._session.add(problem))
        return problem.root_id

    def extend(self, prefix_ids: Sequence[str], steps: Sequence[Step]) -> list[Any]:
        """As `ScoringSession.extend`."""
        return self._ask(self._session.grow(prefix_ids, steps))

    def peek(
        self, prefix_ids: Sequence[str], texts: Sequence[str], *, hold: bool = False
    ) -> list[Any]:
        """As `ScoringSession.peek`; what was looked at is held until it is dropped."""
        return self._ask(self._session.grow(prefix_ids, list(map(Step, texts)), is_part=True))

    def drop(self, prefix_ids: Iterable[str]) -> None:
        """Let prefixes go."""
        self._ask(self._session.drop(list(prefix_ids)))

    def close(self) -> None:
        """Let all go, whether the visitor has left or not."""
        with contextlib.suppress(UnavailableError):  # the worker is closed, and holds nothing
            self._shared.worker.submit(self._session.drop(), must=True)

    def _ask(self, job: Job) -> Any:
        return self._visitor.ask(self._shared.worker, job)


def num_tokens(chain: Chain) -> int:
    """About how many tokens a chain has."""
    steps = sum(len(step.text) + len(step.observation or "") for step in chain.steps)
    return (len(chain.problem.question) + steps) // CHARS_A_TOKEN + len(chain.steps) + 1
