"""Diverse verifier tree search."""

from __future__ import annotations

from dataclasses import dataclass

from rung.core.aggregate import AGGREGATIONS
from rung.core.types import Problem
from rung.search.growth import Expand, Grown, Growth, best, root


@dataclass(frozen=True, slots=True, kw_only=True)
class Dvts:
    """N / M subtrees that don't compete: in each, the best of M next steps is taken.

    Beeching, Tunstall and Rush, "Scaling test-time compute with open models" (Hugging Face, 2024).
    Difference: a subtree whose best step ends the chain is done.
    """

    n: int = 16
    """N, steps written a round."""
    width: int = 4
    """M, next steps written in each subtree."""
    by: str = "min"
    rule: str = "min"

    def grow(self, problem: Problem) -> Growth:
        """Round after round, until every subtree has ended."""
        subtrees = max(1, self.n // self.width)
        [first] = yield [Expand(root(problem), subtrees * self.width)]
        groups = [first[at : at + self.width] for at in range(0, len(first), self.width)]
        while groups:
            taken: list[Grown] = []
            for group in groups:
                taken += best(group, 1, AGGREGATIONS[self.by])
            asks = [Expand(one.chain, self.width) for one in taken if one.is_open]
            if not asks:
                return
            groups = yield asks
