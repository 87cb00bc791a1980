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
    children of an expansion count at once; a prefix may be expanded again: that is one more move
    there, whose value is the prefix's mean until it has been tried; chains that have ended are not
    entered again.
    """

    n: int = 16
    """Ends when so many chains have ended, equal ones counted as often as they are written."""
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
            self._back_up(leaf, leaf.add(answer))
            leaf.written += self.width
            num_ended += sum(one.is_finished for one in answer)
            if num_ended >= self.n or not leaf.children:
                return

    def _leaf(self, node: _Node) -> _Node:
        """The prefix to expand: down by PUCT, until expanding again is the best move."""
        while True:
            moves = [child for child in node.children if child.grown.is_open]
            best = max(moves, key=self._puct, default=None)
            again = self._worth(node, node.mean, node.written)
            if best is None or again > self._puct(best):
                return node
            node = best

    def _puct(self, node: _Node) -> float:
        assert node.parent is not None
        return self._worth(node.parent, node.mean, node.visits)

    def _worth(self, parent: _Node, mean: float, visits: int) -> float:
        """PUCT of a move with this mean and so many visits; expanding again is a move too."""
        prior = self.exploration / (len(parent.children) + 1)
        return mean + prior * math.sqrt(parent.visits) / (1 + visits)

    def _back_up(self, leaf: _Node, fresh: Sequence[_Node]) -> None:
        values = [child.grown.value(AGGREGATIONS[self.by]) or 0.0 for child in fresh]
        for child, value in zip(fresh, values, strict=True):
            child.count([value])
        for node in leaf.path():
            node.count(values)


@dataclass(slots=True)
class _Node:
    """A prefix in the tree."""

    grown: Grown
    parent: _Node | None
    children: list[_Node] = field(default_factory=list["_Node"])
    visits: int = 0
    total: float = 0.0
    written: int = 0
    """Next steps that were asked for here."""

    @property
    def mean(self) -> float:
        return self.total / self.visits if self.visits else 0.0

    def count(self, values: Sequence[float]) -> None:
        self.visits += len(values)
        self.total += math.fsum(values)

    def add(self, answer: Sequence[Grown]) -> list[_Node]:
        """Take up the children that are new."""
        known = {(child.grown.chain.prefix_id, child.grown.is_finished) for child in self.children}
        fresh = [
            _Node(one, self)
            for one in distinct(answer)
            if (one.chain.prefix_id, one.is_finished) not in known
        ]
        self.children += fresh
        return fresh

    def path(self) -> Iterator[_Node]:
        """The node and all above it."""
        node: _Node | None = self
        while node is not None:
            yield node
            node = node.parent
