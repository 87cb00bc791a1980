"""Beam search, and beam search that looks ahead."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from rung.core.aggregate import AGGREGATIONS
from rung.core.types import Problem
from rung.search.growth import Expand, Grown, Growth, apportion, best, distinct, flat, root


@dataclass(frozen=True, slots=True, kw_only=True)
class Beam:
    """Keep the best N / M prefixes, write M next steps behind each.

    Snell et al. (arXiv 2408.03314), section 5.2. Differences: a chain that has ended keeps its
    place in the beam and competes with the others, so later rounds write less; equal candidates
    hold one place, and what is written is shared evenly by the kept prefixes, so that fewer of
    them get more steps each; a prefix is judged by any aggregation of its scores, where the paper
    takes the last one ("last" does).
    """

    n: int = 16
    """N, steps written a round."""
    width: int = 4
    """M, next steps written behind each kept prefix."""
    by: str = "min"
    """The aggregation that compares prefixes."""
    rule: str = "min"

    def grow(self, problem: Problem) -> Growth:
        """Round after round, until all kept chains have ended."""
        asks, held = [Expand(root(problem), self.n)], list[Grown]()
        while asks:
            candidates = distinct([*held, *flat((yield asks))])
            kept = best(candidates, _places(self.n, self.width), AGGREGATIONS[self.by])
            held = [one for one in kept if one.is_finished]
            asks = _next(kept, self.n, self.width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookahead:
    """Beam search whose candidates are judged by where a greedy rollout takes them.

    Snell et al. (arXiv 2408.03314), section 5.2: k steps are written at temperature 0 behind each
    candidate, and the value at their end is the candidate's. Differences: those of `Beam`; a
    rollout that ends the chain counts as a chain to choose from.
    """

    n: int = 16
    width: int = 4
    steps: int = 2
    """k, greedy steps written ahead."""
    by: str = "min"
    rule: str = "min"

    def grow(self, problem: Problem) -> Growth:
        """Round after round, until all kept chains have ended."""
        asks, held = [Expand(root(problem), self.n)], list[tuple[float, Grown]]()
        while asks:
            candidates = distinct(flat((yield asks)))
            ahead = yield from _roll(candidates, self.steps)
            values = [one.rank(AGGREGATIONS[self.by]) for one in ahead]
            judged = [*held, *zip(values, candidates, strict=True)]
            kept = sorted(judged, key=itemgetter(0), reverse=True)
            kept = kept[: _places(self.n, self.width)]
            held = [(value, one) for value, one in kept if one.is_finished]
            asks = _next([one for _, one in kept], self.n, self.width)


def _places(n: int, width: int) -> int:
    return max(1, n // width)


def _next(kept: Sequence[Grown], n: int, width: int) -> list[Expand]:
    """M steps for every place that no finished chain holds, shared by the open prefixes."""
    going = [one.chain for one in kept if one.is_open]
    if not going:
        return []
    places = _places(n, width) - sum(one.is_finished for one in kept)
    shares = apportion(places * width, [1 / len(going)] * len(going))
    return [Expand(prefix, share) for prefix, share in zip(going, shares, strict=True)]


def _roll(
    candidates: Sequence[Grown], steps: int
) -> Generator[list[Expand], list[list[Grown]], list[Grown]]:
    """Each candidate after so many greedy steps, or where its rollout ended."""
    ahead = list(candidates)
    for _ in range(steps):
        going = [k for k, one in enumerate(ahead) if one.is_open]
        if not going:
            break
        answers = yield [Expand(ahead[k].chain, is_greedy=True) for k in going]
        for k, answer in zip(going, answers, strict=True):
            ahead[k] = answer[0] if answer else ahead[k]
    return ahead
