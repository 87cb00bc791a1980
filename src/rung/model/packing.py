"""Token sequences as one packed row: what they share at their beginning stands in it once.

For training, where all keys and values of a batch live in the batch itself. (Scoring keeps them
between batches: `rung.model.engine`.) A bundle of sequences is packed once, bundles are joined
into a batch as often as it takes.

Shape letters: T tokens of the row, K reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from rung.model.radix import IntArray, Node, RadixTree
from rung.model.tree_plan import Run, TreePlan, plan_attention


class Packed(NamedTuple):
    """A bundle of sequences as a row of distinct tokens."""

    ids_T: IntArray
    positions_T: IntArray
    runs: tuple[Run, ...]
    rows_K: IntArray
    """Where in the row the reads are, sequence by sequence."""


class TreeBatch(NamedTuple):
    """A row of tokens for a trunk: ``trunk(**batch.inputs)``."""

    ids_T: Int[Tensor, " T"]
    positions_T: Int[Tensor, " T"]
    plan: TreePlan

    @property
    def inputs(self) -> dict[str, object]:
        """What a transformers decoder that uses tree attention is called with."""
        row = {"input_ids": self.ids_T[None], "position_ids": self.positions_T[None]}
        return {**row, "tree": self.plan, "use_cache": False}


def pack(ids: Sequence[Sequence[int]], reads: Sequence[Sequence[int]]) -> Packed:
    """Pack sequences; `reads` are positions in each, and K counts all of them."""
    tree = RadixTree()
    ends = [tree.insert(sequence) for sequence in ids]
    nodes = list(_depth_first(tree.root))
    for node in nodes:
        node.slots = tree.slots.take(len(node.ids))
    runs = tuple(Run(len(node.ids), node.path_slots()) for node in nodes)
    rows = [end.path_slots()[list(at)] for end, at in zip(ends, reads, strict=True)]
    return Packed(
        np.array([token for node in nodes for token in node.ids], dtype=np.int64),
        np.concatenate([np.arange(len(r.keys) - r.length, len(r.keys)) for r in runs]),
        runs,
        np.concatenate(rows),
    )


def join(bundles: Sequence[Packed], device: torch.device) -> tuple[TreeBatch, Int[Tensor, " K"]]:
    """Bundles side by side as one batch, and the rows of all their reads."""
    runs, rows, start = list[Run](), list[IntArray](), 0
    for bundle in bundles:
        runs += [Run(run.length, run.keys + start) for run in bundle.runs]
        rows.append(bundle.rows_K + start)
        start += len(bundle.ids_T)
    batch = TreeBatch(
        torch.from_numpy(np.concatenate([b.ids_T for b in bundles])).to(device),
        torch.from_numpy(np.concatenate([b.positions_T for b in bundles])).to(device),
        plan_attention(runs, device),
    )
    return batch, torch.from_numpy(np.concatenate(rows)).to(device)


def num_distinct(ids: Sequence[Sequence[int]]) -> list[int]:
    """How many tokens each sequence adds to those before it, where the order is sorted.

    The sum over any run of a sorted list, with the whole length for its first, is what the run's
    row takes: a sequence shares most with its neighbor.
    """
    added: list[int] = []
    before: Sequence[int] = ()
    for sequence in ids:
        shared = 0
        for a, b in zip(before, sequence, strict=False):
            if a != b:
                break
            shared += 1
        added.append(len(sequence) - shared)
        before = sequence
    return added


def _depth_first(root: Node) -> Iterator[Node]:
    stack = list(reversed(root.children.values()))
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children.values()))
