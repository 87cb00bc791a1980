"""Whole chains, sampled at once: best-of-N, weighted best-of-N, majority voting."""

from __future__ import annotations

from dataclasses import dataclass

from rung.core.types import Problem
from rung.search.growth import Expand, Growth, root
from rung.search.rules import MAJORITY


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfN:
    """N chains from the empty prefix; the rule makes it best-of-N or a vote.

    Let's Verify Step by Step (arXiv 2305.20050), section 2.1, and Math-Shepherd (arXiv
    2312.08935), section 3.4, for the weighted vote. Majority voting (Wang et al., arXiv
    2203.11171) needs no scores, so none are made.
    """

    n: int = 16
    rule: str = "min"

    def grow(self, problem: Problem) -> Growth:
        """Ask once."""
        is_scored = self.rule != MAJORITY
        yield [Expand(root(problem), self.n, until="end", is_scored=is_scored)]
