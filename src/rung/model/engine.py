"""Runs token sequences through a trunk, each distinct token once, and keeps what will be needed.

`PrefixEngine.features` takes any number of sequences, lays them over the tree of what it has seen
and still holds, and computes the rest in packed batches under a token budget. Scoring a set of
chains and a session over growing ones are the same call; a session holds its prefixes by name.

Shape letters: T packed tokens, K positions that are read, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rung.model.radix import IntArray, Node, RadixTree
from rung.model.tree_attention import KeyValueStore, Run, plan_attention, use_tree_attention

SHRINK_FROM = 4096
"""Slots; a smaller store is not worth moving."""


class Request(NamedTuple):
    """A sequence of tokens, the positions in it whose features are wanted, and a name to hold it.

    Tokens behind the last read position are run only where the sequence is held.
    """

    ids: tuple[int, ...]
    reads: tuple[int, ...]
    hold: str | None = None


class Piece(NamedTuple):
    """Tokens `start` to `stop` of a node, to be run."""

    node: Node
    start: int
    stop: int


class Usage(NamedTuple):
    """What the engine has done so far, in tokens."""

    asked: int
    """Tokens of all sequences, up to their last read: what running each alone would take."""
    computed: int
    """Tokens that went through the trunk."""


class PrefixEngine:
    """A trunk with the keys and values of every prefix that is held.

    Args:
        trunk: A transformers decoder without heads, in evaluation mode, on its device.
        batch_tokens: Tokens in one forward pass.
        max_kept_bytes: Keys and values of held tokens beyond are forgotten after each call, the
            longest unused first, and computed again when they are asked for. None: all are kept.

    Raises:
        RungError: The trunk's architecture can't run on token trees.
    """

    def __init__(self, trunk: Any, *, batch_tokens: int, max_kept_bytes: int | None = None) -> None:
        use_tree_attention(trunk)
        self._trunk = trunk
        self._batch_tokens = batch_tokens
        self._max_kept_bytes = max_kept_bytes
        self._asked = self._computed = 0
        self._forget()

    @property
    def usage(self) -> Usage:
        """What has been asked for and computed since the engine was made."""
        return Usage(self._asked, self._computed)

    @property
    def kept_tokens(self) -> int:
        """Tokens whose keys and values are kept now."""
        return self._tree.slots.used

    @property
    def bytes_a_token(self) -> int:
        """Memory that a kept token takes; 0 before the first call."""
        return self._store.bytes_a_slot

    def release(self, name: str) -> None:
        """Stop holding what was held under `name`."""
        self._tree.release(name)
        self._shrink()

    @torch.inference_mode()
    def features(self, requests: Sequence[Request]) -> Tensor:
        """The trunk's last hidden states (K, D) at all reads, request by request, read by read."""
        try:
            return self._features(requests)
        except BaseException:  # half-written keys must not be taken for whole ones
            self._forget()
            raise

    def _features(self, requests: Sequence[Request]) -> Tensor:
        work = _Work(self._tree, requests)
        self._asked += work.num_asked
        found: list[Tensor] = []
        places: list[int] = []
        for batch in batches(work.pieces, self._batch_tokens):
            features_TD = self._forward(batch)
            rows, reads = work.rows_read(batch)
            found.append(features_TD[rows])
            places += reads
            for piece in batch:
                if piece.stop == len(piece.node.ids):
                    self._tree.computed(piece.node)
        if self._max_kept_bytes is not None and self.bytes_a_token:
            self._tree.evict_down_to(self._max_kept_bytes // self.bytes_a_token)
        self._shrink()
        width = self._trunk.config.get_text_config().hidden_size
        if not found:
            return torch.zeros(0, width)
        features_KD = torch.cat(found)
        order = torch.empty(len(places), dtype=torch.long, device=features_KD.device)
        order[places] = torch.arange(len(places), device=features_KD.device)
        return features_KD[order]

    def _forward(self, batch: Sequence[Piece]) -> Tensor:
        for piece in batch:
            if piece.node.slots is None:
                piece.node.slots = self._tree.slots.take(len(piece.node.ids))
        self._store.reserve(self._tree.slots.size)
        device = self._trunk.device
        runs = [Run(piece.stop - piece.start, _keys(piece)) for piece in batch]
        plan = plan_attention(runs, device)
        plan.store = self._store
        slots = [run.keys[len(run.keys) - run.length :] for run in runs]
        plan.slots_T = torch.from_numpy(np.concatenate(slots)).to(device)
        positions = [np.arange(len(run.keys) - run.length, len(run.keys)) for run in runs]
        ids = [token for piece in batch for token in piece.node.ids[piece.start : piece.stop]]
        self._computed += len(ids)
        out = self._trunk(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.from_numpy(np.concatenate(positions))[None].to(device),
            use_cache=False,
            tree=plan,
        )
        return out.last_hidden_state[0]

    def _shrink(self) -> None:
        """Give memory back where most slots are free."""
        if self._tree.slots.size >= SHRINK_FROM and 4 * self.kept_tokens < self._tree.slots.size:
            kept = self._tree.renumber()
            self._store.keep(torch.from_numpy(kept).to(self._trunk.device))

    def _forget(self) -> None:
        self._tree, self._store = RadixTree(), KeyValueStore()


class _Work:
    """The requests of one call, laid over the tree."""

    def __init__(self, tree: RadixTree, requests: Sequence[Request]) -> None:
        needed = [r.ids if r.hold else r.ids[: max(r.reads, default=-1) + 1] for r in requests]
        self.num_asked = sum(map(len, needed))
        ends = [tree.insert(ids) for ids in needed]
        for request, end in zip(requests, ends, strict=True):
            if request.hold:
                tree.hold(request.hold, end)
        self._reads: dict[Node, list[tuple[int, int]]] = {}
        first: dict[Node, int] = {}
        place = 0
        for request, end in zip(requests, ends, strict=True):
            start = min(tree.known(end), min(request.reads, default=len(request.ids)))
            at = 0
            for node in end.path():
                upto = at + len(node.ids)
                if upto > start:
                    first[node] = min(first.get(node, upto), max(0, start - at))
                for k, read in enumerate(request.reads):
                    if at <= read < upto:
                        self._reads.setdefault(node, []).append((read - at, place + k))
                at = upto
            place += len(request.reads)
        tree.wait_for(first)
        self.pieces = [
            Piece(node, first[node], len(node.ids)) for node in _depth_first(tree, first)
        ]

    def rows_read(self, batch: Sequence[Piece]) -> tuple[list[int], list[int]]:
        """The rows of a batch that are read, and which reads of the call they are."""
        rows: list[int] = []
        reads: list[int] = []
        base = 0
        for piece in batch:
            for offset, read in self._reads.get(piece.node, ()):
                if piece.start <= offset < piece.stop:
                    rows.append(base + offset - piece.start)
                    reads.append(read)
            base += piece.stop - piece.start
        return rows, reads


def batches(pieces: Sequence[Piece], batch_tokens: int) -> Iterator[list[Piece]]:
    """Pieces in batches of just `batch_tokens`; a piece that straddles two is cut."""
    batch: list[Piece] = []
    room = batch_tokens
    for node, start, stop in pieces:
        while start < stop:
            cut = min(stop, start + room)
            batch.append(Piece(node, start, cut))
            room -= cut - start
            start = cut
            if room == 0:
                yield batch
                batch, room = [], batch_tokens
    if batch:
        yield batch


def _keys(piece: Piece) -> IntArray:
    """The slots of all tokens that the piece's last token sees."""
    above = piece.node.parent
    slots = [] if above is None else [node.slots for node in above.path()]
    assert piece.node.slots is not None
    known = [s for s in (*slots, piece.node.slots[: piece.stop]) if s is not None]
    return np.concatenate(known)


def _depth_first(tree: RadixTree, wanted: dict[Node, int]) -> Iterator[Node]:
    stack = [tree.root]
    while stack:
        node = stack.pop()
        if node in wanted:
            yield node
        stack.extend(child for child in reversed(node.children.values()) if child.waiting)
