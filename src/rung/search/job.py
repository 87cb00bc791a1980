"""One search under way: what it asked for, what is still to come, what it has spent."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from rung.core.protocols import Sampling
from rung.core.types import Chain, Problem, StepScores
from rung.search.budget import Budget, Prices, Reason, Spent
from rung.search.growth import PART, Expand, Grown, Growth, is_part
from rung.search.sampler import Order


@dataclass(slots=True)
class Job:
    """A search of one problem, or of several together.

    Round after round: `orders` gives what to sample within the budget, `fill` takes the chains of
    an order, and when all of a round are there, the search is told and asks anew. `reason` is set
    when it is over.
    """

    problems: Sequence[Problem]
    growth: Growth
    budget: Budget
    prices: Prices
    sampling: Sampling
    max_steps: int
    spent: Spent = field(default_factory=Spent)
    reason: Reason | None = None
    error: str | None = None
    told: list[Grown] = field(default_factory=list[Grown])
    """All chains that were written, in order."""
    _asks: list[Expand] = field(default_factory=list[Expand])
    _answers: list[list[Grown]] = field(default_factory=list[list[Grown]])
    _left: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])
    """Asks of this round that are not ordered yet, and how many continuations each lacks."""
    _made: Counter[str] = field(default_factory=Counter[str])
    """Continuations ordered so far, by prefix and kind."""
    _begun: dict[str, int] = field(default_factory=dict[str, int])
    """Tokens so far of each last step that is not whole, by prefix."""
    _seen: set[str] = field(default_factory=set[str])
    """Chains that were scored."""

    def begin(self) -> None:
        """Take the first questions."""
        self._ask(partial(next, self.growth))

    def end(self, reason: Reason, error: str | None = None) -> None:
        """Stop the search with what it has."""
        self.growth.close()
        self.reason, self.error = reason, error

    def orders(self) -> list[tuple[int, Order]]:
        """What to sample now, as much as surely fits the budget: asks' indices and orders.

        Room is kept for every continuation to take `max_tokens`. Most take less, so what did not
        fit is ordered when these are there. Empty when the search is over.
        """
        while self.reason is None and not self._left:
            self._ask(partial(self.growth.send, self._answers))
        if self.reason is not None:
            return []
        is_scored = any(ask.is_scored for ask in self._asks)
        room, limit = self.spent.room(self.budget, self.prices, is_scored=is_scored)
        if limit is not None:
            self.end(limit)
            return []
        return list(self._slice(room))

    def fill(self, ask: int, chains: Sequence[Chain], scores: Sequence[StepScores | None]) -> None:
        """The chains of an order, and their scores."""
        prefix = self._asks[ask].prefix
        for chain, scored in zip(chains, scores, strict=True):
            one = self._grown(prefix, chain, scored)
            self.spent.tokens_sampled += one.num_tokens
            if one.is_part:
                self._begun[chain.prefix_id] = one.num_tokens + self._tokens_begun(prefix)
            if scored is not None and chain.prefix_id not in self._seen:
                self._seen.add(chain.prefix_id)
                self.spent.tokens_scored += one.num_tokens
            self.told.append(one)
            self._answers[ask].append(one)

    def is_scored(self, ask: int) -> bool:
        """Whether an ask wants scores."""
        return self._asks[ask].is_scored

    def _ask(self, go_on: Callable[[], list[Expand]]) -> None:
        try:
            asks = go_on()
        except StopIteration:
            self.reason = "done"
            return
        self._asks = asks
        self._answers = [[] for _ in asks]
        self._left = deque((k, ask.n) for k, ask in enumerate(asks) if ask.n > 0)

    def _slice(self, room: int | None) -> Iterator[tuple[int, Order]]:
        calls = self.budget.calls
        can_call = None if calls is None else calls - self.spent.calls
        while self._left and can_call != 0 and room != 0:
            k, lacks = self._left.popleft()
            n = lacks if can_call is None else min(lacks, can_call)
            tokens = self.sampling.max_tokens - self._tokens_begun(self._asks[k].prefix)
            if room is not None:
                tokens = min(tokens, room)
                n = min(n, room // tokens)
                room -= n * tokens
            if n < lacks:
                self._left.appendleft((k, lacks - n))
            can_call = None if can_call is None else can_call - n
            yield k, self._order(self._asks[k], n, tokens)

    def _order(self, ask: Expand, n: int, max_tokens: int) -> Order:
        """`n` continuations; one that may take more tokens than to the next look pauses there."""
        pauses = ask.look_after is not None and ask.look_after < max_tokens
        kind = f"{ask.prefix.prefix_id} {ask.until} {ask.is_greedy} {ask.is_inside}"
        first = self._made[kind]
        self._made[kind] += n
        self.spent.calls += n
        temperature = 0.0 if ask.is_greedy else self.sampling.temperature
        how = replace(
            self.sampling,
            until=ask.until,
            max_tokens=ask.look_after if pauses and ask.look_after is not None else max_tokens,
            temperature=temperature,
            inside_step=ask.is_inside,
        )
        return Order(ask.prefix, first, n, how, pauses)

    def _tokens_begun(self, prefix: Chain) -> int:
        return self._begun.get(prefix.prefix_id, 0) if is_part(prefix) else 0

    def _grown(self, prefix: Chain, chain: Chain, scores: StepScores | None) -> Grown:
        source = chain.source
        before = prefix.source.num_tokens if prefix.source is not None else None
        num_tokens = 0 if source is None else (source.num_tokens or 0) - (before or 0)
        # inside a step its end alone may be new: the text is the same then
        is_new = chain.prefix_id != prefix.prefix_id or is_part(prefix)
        can_go_on = source is None or source.finish_reason in (None, PART)
        is_open = is_new and can_go_on and len(chain.steps) < self.max_steps
        return Grown(chain, scores, num_tokens, is_open)
