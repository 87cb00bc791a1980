"""How a search speaks: it asks for prefixes to be continued, and is told what was written.

A search is a generator function over values: it yields `Expand`s, is sent the `Grown` chains of
each, and returns when it wants no more. It does no I/O and draws no randomness but from a seed of
its own, so the same answers always lead to the same questions: that is what makes a run
replayable from its log. ``rung.search.run`` drives it.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from rung.core.aggregate import Aggregation
from rung.core.types import Chain, Problem, StepScores

STOP, LENGTH = "stop", "length"
PART = "part"
"""The `finish_reason` of a chain whose last step is not whole yet."""


@dataclass(frozen=True, slots=True)
class Expand:
    """A prefix that is to be continued `n` ways."""

    prefix: Chain
    n: int = 1
    until: Literal["step", "end"] = "step"
    is_greedy: bool = False
    """Take the likeliest token each time."""
    is_scored: bool = True
    """Score what was written."""
    look_after: int | None = None
    """Pause inside the step after so many tokens, and score what is there of it."""

    @property
    def is_inside(self) -> bool:
        """The prefix's last step is not whole; it is written on."""
        return is_part(self.prefix)


@dataclass(frozen=True, slots=True)
class Grown:
    """A chain that was written, from its first step on."""

    chain: Chain
    scores: StepScores | None = None
    """None where they were not asked for, or the chain has no steps."""
    num_tokens: int = 0
    """Tokens that were sampled for this piece."""
    is_open: bool = False
    """It can go on: neither ended nor cut off, and not at the limit of steps."""

    @property
    def is_part(self) -> bool:
        """Its last step is not whole yet."""
        return is_part(self.chain)

    @property
    def look(self) -> float | None:
        """The score of a last step that is not whole; None where there is none."""
        return self.scores.scores[-1] if self.is_part and self.scores is not None else None

    @property
    def is_finished(self) -> bool:
        """The policy ended the chain itself."""
        return self.chain.source is not None and self.chain.source.finish_reason == STOP

    def rank(self, aggregation: Aggregation) -> float:
        """The aggregated scores, for comparing prefixes; -inf where there are none."""
        known = self._known()
        return aggregation.rank(known) if known else -math.inf

    def value(self, aggregation: Aggregation) -> float | None:
        """The aggregated scores of whole steps; None where there are none."""
        known = self._known()
        return aggregation(known) if known else None

    def _known(self) -> tuple[float, ...]:
        if self.scores is None:
            return ()
        whole = self.scores.scores[:-1] if self.is_part else self.scores.scores
        return tuple(score for score in whole if score is not None)


Growth = Generator[list[Expand], list[list[Grown]], None]
"""A search at work on one problem, or on several."""


class Search(Protocol):
    """An algorithm with its settings; `rung.search.algorithms` has rung's."""

    @property
    def rule(self) -> str:
        """How the answer is picked among the chains that came to an end (`rung.search.rules`)."""
        ...

    def grow(self, problem: Problem) -> Growth:
        """Ask and be told until no more is wanted. Lists answer lists, in order.

        An answer may hold fewer chains than were asked for, if the budget ran out. The driver
        then closes the generator.
        """
        ...


@runtime_checkable
class SpanningSearch(Protocol):
    """An algorithm that decides over several problems at once."""

    @property
    def rule(self) -> str:
        """As a `Search` has it."""
        ...

    def grow_all(self, problems: Sequence[Problem]) -> Growth:
        """As `Search.grow`; prefixes of any of the problems may be asked for."""
        ...


def is_part(chain: Chain) -> bool:
    """Whether a chain's last step is not whole yet."""
    return chain.source is not None and chain.source.finish_reason == PART


def distinct(grown: Iterable[Grown]) -> list[Grown]:
    """The first of each set of equal chains.

    A chain that ended and the same steps with an open end are two, and so is a last step that is
    not whole.
    """
    first: dict[tuple[str, bool, bool], Grown] = {}
    for one in grown:
        first.setdefault((one.chain.prefix_id, one.is_finished, one.is_part), one)
    return list(first.values())


def flat(groups: Iterable[Iterable[Grown]]) -> list[Grown]:
    """All chains of all answers, in order."""
    return [one for group in groups for one in group]


def best(grown: Iterable[Grown], count: int, aggregation: Aggregation) -> list[Grown]:
    """The `count` highest in rank; of equals, the earlier."""
    return sorted(grown, key=lambda one: one.rank(aggregation), reverse=True)[:count]


def root(problem: Problem) -> Chain:
    """The prefix without steps."""
    return Chain(problem, ())


def apportion(total: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers that add up to `total`, each within 1 of its share (largest remainder).

    Args:
        total: 0 or less gives everybody 0.
        shares: They add up to 1.
    """
    exact = [max(0, total) * share for share in shares]
    given = [math.floor(part) for part in exact]
    by_remainder = sorted(range(len(exact)), key=lambda k: given[k] - exact[k])
    for k in by_remainder[: max(0, total) - sum(given)]:
        given[k] += 1
    return given
