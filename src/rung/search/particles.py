"""Particle filtering and particle Gibbs."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from rung.core.aggregate import AGGREGATIONS
from rung.core.types import Problem
from rung.search.growth import Expand, Grown, Growth, root

CLIP = 1e-6
"""Scores of 0 and 1 have odds all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticleFilter:
    """N particles take a step each, and are drawn anew by the odds of their values.

    Puri et al. (arXiv 2502.01618), algorithm 1: weights are the softmax of the value's logit, which
    is its odds. With more than one iteration it is their particle Gibbs (algorithm 2): a chain
    drawn from an iteration's end stays among the next one's particles, step by step.
    Differences: resampling is systematic (Carpenter et al., 1999), whose variance is lower; all
    chains of all iterations are chosen from; the value is any aggregation of the scores.
    """

    n: int = 16
    iterations: int = 1
    """Of particle Gibbs; 1 is plain filtering."""
    by: str = "min"
    seed: int = 0
    """Of the resampling."""
    rule: str = "min"

    def grow(self, problem: Problem) -> Growth:
        """Step after step, until every particle has ended; so often as there are iterations."""
        draws = random.Random(f"{self.seed} {problem.root_id}")
        kept: Grown | None = None
        for _ in range(self.iterations):
            particles = yield from self._filter(problem, kept, draws)
            if not particles:
                return
            [place] = _resample(self._odds(particles), 1, draws)
            kept = particles[place]

    def _filter(
        self, problem: Problem, kept: Grown | None, draws: random.Random
    ) -> Generator[list[Expand], list[list[Grown]], list[Grown]]:
        """One pass; particle 0 follows `kept`."""
        particles = [Grown(root(problem), is_open=True)] * self.n
        depth = 0
        while any(one.is_open for one in particles):
            depth += 1
            followed = None if kept is None else _prefix(kept, depth)
            free = particles if followed is None else particles[1:]
            moved = yield from _step(free)
            particles = moved if followed is None else [followed, *moved]
            if not particles:
                break
            places = _resample(self._odds(particles), len(particles), draws)
            drawn = [particles[place] for place in places]
            particles = drawn if followed is None else [followed, *drawn[1:]]
        return particles

    def _odds(self, particles: Sequence[Grown]) -> list[float]:
        values = [one.value(AGGREGATIONS[self.by]) or 0.0 for one in particles]
        clipped = [min(max(value, CLIP), 1 - CLIP) for value in values]
        return [value / (1 - value) for value in clipped]


def _step(particles: Sequence[Grown]) -> Generator[list[Expand], list[list[Grown]], list[Grown]]:
    """Move every particle that is open; particles at one prefix move together."""
    going = {one.chain.prefix_id: one for one in particles if one.is_open}
    counts = Counter(one.chain.prefix_id for one in particles if one.is_open)
    still = [one for one in particles if not one.is_open]
    if not going:
        return still
    answers = yield [Expand(one.chain, counts[prefix]) for prefix, one in going.items()]
    return [*still, *(one for answer in answers for one in answer)]


def _prefix(kept: Grown, depth: int) -> Grown:
    """The kept chain at a depth, with the scores that it has up to there."""
    if depth >= len(kept.chain.steps):
        return kept
    chain = kept.chain.prefix(depth)
    assert kept.scores is not None
    scores = replace(kept.scores, scores=kept.scores.scores[:depth])
    return Grown(replace(chain, source=None), scores, is_open=True)


def _resample(weights: Sequence[float], count: int, draws: random.Random) -> list[int]:
    """Systematic resampling: `count` places, each about as often as its weight says."""
    ticks = (draws.random() + k for k in range(count))
    scale = count / math.fsum(weights)
    places: list[int] = []
    place, upto = 0, weights[0] * scale
    for tick in ticks:
        while tick >= upto and place + 1 < len(weights):
            place += 1
            upto += weights[place] * scale
        places.append(place)
    return places
