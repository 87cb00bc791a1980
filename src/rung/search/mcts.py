"""Monte-Carlo tree search whose values come from the scorer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rung.core.aggregate import AGGREGATIONS
from rung.core.types import Problem
from rung.search.growth import Expand, Grown, Growth, distinct, root


@dataclass(frozen=True, slots=True, kw_only=True)
class Mcts:
    """Go down the tree by PUCT, expand one leaf, and let the children's values count on its path.

    PUCT is AlphaZero's (Silver et al., arXiv 1712.01815); for reasoning see TS-LLM (arXiv
    2309.17179) and AlphaMath (arXiv 2405.03553). Differences: values are the scorer's, no rollout
    is made; the prior is even over the children, since not every generator gives likelihoods; all
    children of an expansion count at once; subtrees in which nothing can be written any more are
    not entered again.
    """

    n: int = 16
    """Ends when so many distinct chains have ended."""
    width: int = 4
    """Next steps written behind a leaf."""
    exploration: float = 1.0
    """PUCT's constant: higher spreads the search."""
    expansions: int = 256
    """Ends after so many, at the latest."""
    by: str = "min"
    rule: str = "min"

    def grow(self, problem: Problem) -> Growth:
        """One expansion after another."""
        top = _Node(Grown(root(problem), is_open=True), None)
        num_ended = 0
        for _ in range(self.expansions):
            leaf = self._leaf(top)
            [answer] = yield [Expand(leaf.grown.chain, self.width)]
            leaf.children = [_Node(one, leaf) for one in distinct(answer)]
            self._back_up(leaf)
            num_ended += sum(child.grown.is_finished for child in leaf.children)
            if num_ended >= self.n or top.is_over:
                return

    def _leaf(self, node: _Node) -> _Node:
        while node.children:
            node = max((child for child in node.children if not child.is_over), key=self._puct)
        return node

    def _puct(self, node: _Node) -> float:
        assert node.parent is not None
        prior = self.exploration / len(node.parent.children)
        return node.mean + prior * math.sqrt(node.parent.visits) / (1 + node.visits)

    def _back_up(self, leaf: _Node) -> None:
        values = [child.grown.value(AGGREGATIONS[self.by]) or 0.0 for child in leaf.children]
        for child, value in zip(leaf.children, values, strict=True):
            child.count([value])
            child.is_over = not child.grown.is_open
        for node in leaf.path():
            node.count(values)
            node.is_over = all(child.is_over for child in node.children)


@dataclass(slots=True)
class _Node:
    """A prefix in the tree."""

    grown: Grown
    parent: _Node | None
    children: list[_Node] = field(default_factory=list["_Node"])
    visits: int = 0
    total: float = 0.0
    is_over: bool = False
    """Nothing can be written below any more."""

    @property
    def mean(self) -> float:
        return self.total / self.visits if self.visits else 0.0

    def count(self, values: Sequence[float]) -> None:
        self.visits += len(values)
        self.total += math.fsum(values)

    def path(self) -> Iterator[_Node]:
        """The node and all above it."""
        node: _Node | None = self
        while node is not None:
            yield node
            node = node.parent
