"""Which steps of a search's answer are certain while it still runs.

The answer is picked at the end, among the chains that ended, or among the longest where none did.
So a step is certain once it stands in all of these and in every prefix that is still continued.
That holds of searches which never go back behind the prefixes that they continue; all others (whole
chains, trees that are entered again, rollouts that are thrown away) know no step before the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rung.core.types import Chain, Problem, Step
from rung.search.growth import Expand, Grown, Growth, Search, flat

NARROWING = ("one", "beam", "dvts", "rebase", "particles")
"""Searches that never go back."""


class SureStep(NamedTuple):
    """A step that the answer will have, whatever comes."""

    place: int
    text: str
    score: float | None
    """As it was when the step became certain."""


@dataclass(frozen=True, slots=True)
class Telling:
    """A search that tells its steps, in order, each once, as they become certain."""

    search: Search
    tell: Callable[[SureStep], None]

    @property
    def rule(self) -> str:
        """That of the search."""
        return self.search.rule

    def grow(self, problem: Problem) -> Growth:
        """Ask what the search asks."""
        growth, told, num_sure = self.search.grow(problem), list[Grown](), 0
        asks = next(growth)
        while True:
            told += flat(answers := (yield asks))
            try:
                asks = growth.send(answers)
            except StopIteration:
                return
            sure = certain_steps(told, asks)
            scores = _scores(told)
            for place in range(num_sure, len(sure)):
                self.tell(SureStep(place, sure[place].text, scores.get(sure[place].id)))
            num_sure = len(sure)


def certain_steps(told: Sequence[Grown], asks: Sequence[Expand]) -> tuple[Step, ...]:
    """The steps that the answer will have, after what was written, with what is asked for now."""
    chains = [one.chain for one in told if one.is_finished]
    if not chains:
        longest = max((len(one.chain.steps) for one in told), default=0)
        chains = [one.chain for one in told if len(one.chain.steps) == longest]
    return _shared([*chains, *(ask.prefix for ask in asks)])


def _shared(chains: Sequence[Chain]) -> tuple[Step, ...]:
    if not chains:
        return ()
    first = chains[0].steps
    for length in range(len(first), 0, -1):  # a step's id is that of its whole prefix
        ends = (one.steps[length - 1].id if len(one.steps) >= length else None for one in chains)
        if all(end == first[length - 1].id for end in ends):
            return first[:length]
    return ()


def _scores(told: Sequence[Grown]) -> dict[str, float | None]:
    """Each step's score, as it was when it was written."""
    found: dict[str, float | None] = {}
    for one in told:
        if one.scores is not None:
            for step, score in zip(one.chain.steps, one.scores.scores, strict=True):
                found.setdefault(step.id, score)
    return found
