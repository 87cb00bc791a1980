"""Token sequences as a tree: what sequences share at their beginning stands there once. No torch.

A node is a run of tokens that always come together. The tree belongs to `rung.model.engine`,
which keeps the keys and values of the tokens in slots, one a token. Nodes that nobody holds and
nobody waits for go, and their slots with them; held ones can be evicted, the longest unused first,
and then have to be computed again.

The structure is SGLang's RadixAttention (arXiv 2312.07104), section 3. It differs in who decides:
here a caller holds prefixes by name, and lets them go.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Node:
    """A run of tokens behind its parent's. The root is empty and always there."""

    ids: tuple[int, ...]
    parent: Node | None
    children: dict[int, Node] = field(default_factory=dict[int, "Node"])
    """By their first token."""
    slots: IntArray | None = None
    """Where each token's keys and values are; None until they are computed."""
    holders: set[str] = field(default_factory=set[str])
    """Names of the prefixes that end here."""
    waiting: int = 0
    """Nodes in this subtree, itself included, that are to be computed."""
    pins: int = 0
    """How often this subtree's tokens are being read: they can't go."""
    last_used: int = 0

    @property
    def is_idle_leaf(self) -> bool:
        """Nothing stands behind it, and nobody is computing or reading it."""
        return not (self.children or self.waiting or self.pins)

    def path(self) -> list[Node]:
        """The nodes from the root's child to this one."""
        return list(self.lineage())[::-1]

    def path_slots(self) -> IntArray:
        """Where the tokens from the start to this node's end are, of those that are computed."""
        known = [passed.slots for passed in self.path() if passed.slots is not None]
        return np.concatenate(known) if known else np.zeros(0, dtype=np.int64)

    def lineage(self) -> Iterator[Node]:
        """This node, its parent, and so on, without the root."""
        node = self
        while node.parent is not None:
            yield node
            node = node.parent


class Slots:
    """Hands out numbers from 0 on, the given-back ones first."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self.size = 0
        """All numbers below have been handed out at some time."""

    @property
    def used(self) -> int:
        """Numbers that are out."""
        return self.size - len(self._free)

    def take(self, count: int) -> IntArray:
        """So many numbers."""
        reused = self._free[len(self._free) - min(count, len(self._free)) :]
        del self._free[len(self._free) - len(reused) :]
        fresh = range(self.size, self.size + count - len(reused))
        self.size += len(fresh)
        return np.array([*reused, *fresh], dtype=np.int64)

    def give_back(self, numbers: IntArray) -> None:
        """Let others have them."""
        self._free.extend(numbers.tolist())


class RadixTree:
    """The tree, the slots of its tokens, and who holds what.

    Args:
        keeps_unheld: What nobody holds stays until it is evicted.
    """

    def __init__(self, *, keeps_unheld: bool = False) -> None:
        self._keeps_unheld = keeps_unheld
        self.root = Node((), None)
        self.slots = Slots()
        self._held: dict[str, Node] = {}
        self._clock = 0

    def insert(self, ids: Sequence[int]) -> Node:
        """The node at whose end `ids` ends, made if need be; it is now the last used."""
        self._clock += 1
        node, at, ids = self.root, 0, tuple(ids)
        while at < len(ids):
            child = node.children.get(ids[at])
            if child is None:
                child = Node(ids[at:], node)
                node.children[ids[at]] = child
                shared = len(child.ids)
            else:
                shared = _common(child.ids, ids, at)
                if shared < len(child.ids):
                    child = self._split(child, shared)
            node, at = child, at + shared
        for passed in node.lineage():
            passed.last_used = self._clock
        return node

    def known(self, node: Node) -> int:
        """How many of the tokens up to the node's end have been computed, from the start."""
        count = 0
        for passed in node.path():
            if passed.slots is None:
                break
            count += len(passed.ids)
        return count

    def wait_for(self, nodes: Iterable[Node]) -> None:
        """Announce that these will be computed: they and what leads to them stay."""
        for node in nodes:
            for passed in node.lineage():
                passed.waiting += 1

    def computed(self, node: Node) -> None:
        """One that was waited for is done. What nobody needs any more goes."""
        for passed in node.lineage():
            passed.waiting -= 1
        self._prune(node)

    def adopt(self, ids: Sequence[int], slots: IntArray, start: int) -> IntArray:
        """Take over tokens that were computed elsewhere, from `start` on.

        Args:
            ids: A prefix whose first `start` tokens are the tree's, pinned.
            slots: Where all of its tokens are.
            start: How many tokens are the tree's own.

        Returns:
            The slots of tokens that the tree has twice now: it stays with its own.
        """
        twice, at = [slots[:0]], 0
        for node in self.insert(ids).path():
            upto = at + len(node.ids)
            if node.slots is None:
                node.slots = slots[at:upto]
            elif at >= start:
                twice.append(slots[at:upto])
            at = upto
        return np.concatenate(twice)

    def pin(self, node: Node) -> None:
        """Let nothing up to the node's end go until it is unpinned."""
        for passed in node.lineage():
            passed.pins += 1

    def unpin(self, node: Node) -> None:
        """Take one pin back. What nobody needs any more goes."""
        for passed in node.lineage():
            passed.pins -= 1
        self._prune(node)

    def hold(self, name: str, node: Node) -> None:
        """Keep the path to `node` under a name."""
        node.holders.add(name)  # first: what the name held before may be on this path
        if self._held.get(name) is not node:
            self.release(name)
        self._held[name] = node

    def release(self, name: str) -> None:
        """Give up what is held under the name; nothing, if nothing is."""
        node = self._held.pop(name, None)
        if node is not None:
            node.holders.discard(name)
            self._prune(node)

    def evict_down_to(self, num_tokens: int) -> None:
        """Forget held leaves, the longest unused first, until at most `num_tokens` are kept."""
        if self.slots.used <= num_tokens:
            return
        order = itertools.count()
        leaves = [(n.last_used, next(order), n) for n in self.nodes() if n.is_idle_leaf]
        heapq.heapify(leaves)
        while leaves and self.slots.used > num_tokens:
            leaf = heapq.heappop(leaves)[-1]
            parent = leaf.parent
            assert parent is not None
            for name in leaf.holders:
                self._held[name] = parent
            if parent is not self.root:
                parent.holders |= leaf.holders
            leaf.holders = set()
            self._remove(leaf)
            if parent is not self.root and parent.is_idle_leaf:
                heapq.heappush(leaves, (parent.last_used, next(order), parent))

    def renumber(self) -> IntArray:
        """Number the slots that are out 0, 1, ...; return their old numbers, in that order."""
        kept: list[IntArray] = []
        slots = Slots()
        for node in self.nodes():
            if node.slots is not None:
                kept.append(node.slots)
                node.slots = slots.take(len(node.ids))
        self.slots = slots
        return np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)

    def nodes(self) -> Iterator[Node]:
        """All nodes but the root."""
        stack = list(self.root.children.values())
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())

    def _split(self, node: Node, at: int) -> Node:
        """Cut a node in two; return the upper part."""
        parent = node.parent
        assert parent is not None
        assert not node.waiting, "a node that is being computed can't be cut"
        upper = Node(node.ids[:at], parent, pins=node.pins, last_used=node.last_used)
        if node.slots is not None:
            upper.slots, node.slots = node.slots[:at], node.slots[at:]
        parent.children[upper.ids[0]] = upper
        node.ids, node.parent = node.ids[at:], upper
        upper.children[node.ids[0]] = node
        return upper

    def _prune(self, node: Node) -> None:
        """Remove the node and those above it that nobody needs."""
        if self._keeps_unheld:
            return
        while (above := node.parent) is not None:
            if node.holders or not node.is_idle_leaf:
                return
            self._remove(node)
            node = above

    def _remove(self, node: Node) -> None:
        assert node.parent is not None
        if node.slots is not None:
            self.slots.give_back(node.slots)
            node.slots = None
        if node.parent.children.get(node.ids[0]) is node:
            del node.parent.children[node.ids[0]]


def numbered(ids: Sequence[int], numbers: dict[tuple[int, int], int]) -> list[int]:
    """A number for every prefix of the ids: equal prefixes, equal numbers, kept in `numbers`."""
    nodes: list[int] = []
    node = -1
    for token in ids:
        node = numbers.setdefault((node, token), len(numbers))
        nodes.append(node)
    return nodes


def _common(run: tuple[int, ...], ids: tuple[int, ...], at: int) -> int:
    """How many tokens `run` and `ids[at:]` begin with together."""
    most = min(len(run), len(ids) - at)
    if run[:most] == ids[at : at + most]:
        return most
    return next(k for k in range(most) if run[k] != ids[at + k])
