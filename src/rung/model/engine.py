"""Runs token sequences through a trunk, each distinct token once, and keeps what will be needed.

`PrefixEngine.features` takes any number of sequences, lays them over the tree of what it has seen
and still holds, and computes the rest in packed batches under a token budget. Scoring a set of
chains and a session over growing ones are the same call; a session holds its prefixes by name.

Shape letters: T packed tokens, K positions that are read, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rung.model.memory import PrefixMemory
from rung.model.radix import IntArray, Node, RadixTree
from rung.model.tree_attention import use_tree_attention
from rung.model.tree_plan import Run, TreePlan, plan_attention

BATCH_TOKENS = {"cpu": 1024, "cuda": 16_384}
"""What suits a device. On a CPU larger batches leave the cache."""

Outputs = Callable[[Any, Mapping[str, Any], Tensor], Tensor]
"""What a model gives for a packed row, at the rows that are read."""


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


def hidden_states(trunk: Any, row: Mapping[str, Any], rows_K: Tensor) -> Tensor:
    """The last hidden states (K, D) of a decoder without heads."""
    return trunk(**row).last_hidden_state[0, rows_K]


def next_logits(model: Any, row: Mapping[str, Any], rows_K: Tensor) -> Tensor:
    """The logits (K, V) of a causal LM for the tokens behind."""
    return model(**row, logits_to_keep=rows_K).logits[0]


class PrefixEngine:
    """A model with the keys and values of every prefix that is kept.

    Args:
        model: A transformers decoder, in evaluation mode, on its device.
        batch_tokens: Tokens in one forward pass.
        memory: Which prefixes are kept; by default those that are held.
        outputs: What is wanted of the model; by default a decoder without heads is asked for its
            hidden states.

    Raises:
        RungError: The model's architecture can't run on token trees.
    """

    def __init__(
        self,
        model: Any,
        *,
        batch_tokens: int,
        memory: PrefixMemory | None = None,
        outputs: Outputs = hidden_states,
    ) -> None:
        use_tree_attention(model)
        self.model = model
        self.memory = memory or PrefixMemory()
        self._batch_tokens, self._outputs = batch_tokens, outputs
        self._asked = self._computed = 0

    @property
    def usage(self) -> Usage:
        """What has been asked for and computed since the engine was made."""
        return Usage(self._asked, self._computed)

    @property
    def kept_tokens(self) -> int:
        """Tokens whose keys and values are kept now."""
        return self.memory.kept_tokens

    def release(self, name: str) -> None:
        """Stop holding what was held under `name`."""
        self.memory.release(name)

    @torch.inference_mode()
    def features(self, requests: Sequence[Request]) -> Tensor:
        """The model's outputs (K, ...) at all reads, request by request, read by read."""
        try:
            found_K = self.compute(requests)
            self.memory.trim()
        except BaseException:  # half-written keys must not be taken for whole ones
            self.memory.forget()
            raise
        return found_K

    def compute(self, requests: Sequence[Request]) -> Tensor:
        """`features` for a caller who has more to do before memory is trimmed, or forgotten."""
        work = _Work(self.memory.tree, requests)
        self._asked += work.num_asked
        found: list[Tensor] = []
        places: list[int] = []
        for batch in batches(work.pieces, self._batch_tokens):
            rows, reads = work.rows_read(batch)
            found.append(self._run(batch, torch.tensor(rows, dtype=torch.long)))
            places += reads
            for piece in batch:
                if piece.stop == len(piece.node.ids):
                    self.memory.tree.computed(piece.node)
        if not found:
            width = self.model.config.get_text_config().hidden_size
            return torch.zeros(0, width, device=self.model.device)
        found_K = torch.cat(found)
        order = torch.empty(len(places), dtype=torch.long, device=found_K.device)
        order[places] = torch.arange(len(places), device=found_K.device)
        return found_K[order]

    def run(self, ids_T: Tensor, positions_T: Tensor, plan: TreePlan, rows_K: Tensor) -> Tensor:
        """The model's outputs (K, ...) for a packed row whose keys the plan keeps."""
        self._computed += len(ids_T)
        plan.store = self.memory.store
        row = {"input_ids": ids_T[None], "position_ids": positions_T[None]}
        return self._outputs(self.model, {**row, "tree": plan, "use_cache": False}, rows_K)

    def _run(self, batch: Sequence[Piece], rows_K: Tensor) -> Tensor:
        tree, device = self.memory.tree, self.model.device
        for piece in batch:
            if piece.node.slots is None:
                piece.node.slots = tree.slots.take(len(piece.node.ids))
        self.memory.reserve()
        runs = [Run(piece.stop - piece.start, _keys(piece)) for piece in batch]
        plan = plan_attention(runs, device)
        slots = [run.keys[len(run.keys) - run.length :] for run in runs]
        plan.slots_T = torch.from_numpy(np.concatenate(slots)).to(device)
        positions = [np.arange(len(run.keys) - run.length, len(run.keys)) for run in runs]
        positions_T = torch.from_numpy(np.concatenate(positions)).to(device)
        ids = [token for piece in batch for token in piece.node.ids[piece.start : piece.stop]]
        ids_T = torch.tensor(ids, device=device)
        return self.run(ids_T, positions_T, plan, rows_K.to(device))


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
    slots = piece.node.path_slots()
    return slots[: len(slots) - len(piece.node.ids) + piece.stop]


def _depth_first(tree: RadixTree, wanted: dict[Node, int]) -> Iterator[Node]:
    stack = [tree.root]
    while stack:
        node = stack.pop()
        if node in wanted:
            yield node
        stack.extend(child for child in reversed(node.children.values()) if child.waiting)
