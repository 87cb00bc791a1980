"""Batches under a token budget: packed prefix trees, the same for one seed and epoch.

The chains of one question stand together, and each distinct token is run once: the question for
all its chains, the steps before alternatives for all of these. There is no padding. Gradients are
those of the chains run one by one, since a token that several chains share gets the sum of what
flows back from each.

Shape letters: T tokens of a batch, K targets.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Int, Num
from torch import Tensor

from rung.model.packing import Packed, TreeBatch, join, num_distinct, pack
from rung.train.examples import Example


@dataclass(frozen=True, slots=True)
class Bundle:
    """Examples that are run together."""

    examples: tuple[Example, ...]
    packed: Packed

    @property
    def num_tokens(self) -> int:
        """Distinct tokens."""
        return len(self.packed.ids_T)

    @property
    def num_targets(self) -> int:
        """Targets of all examples."""
        return len(self.packed.rows_K)


class Batch(NamedTuple):
    """Packed chains, and the rows of the pack where targets are read."""

    tree: TreeBatch
    rows_K: Int[Tensor, " K"]
    targets_K: Num[Tensor, " K"]
    chains_K: Int[Tensor, " K"]
    """Which chain of the batch a target belongs to; a chain's targets stand in its steps' order."""


def bundles_of(examples: Sequence[Example], *, batch_tokens: int, share: bool) -> list[Bundle]:
    """Pack the examples of each question, as many together as the budget takes.

    An example longer than the budget goes alone. Without `share` every example does.
    """
    if not share:
        return [_bundle([example]) for example in examples]
    order = sorted(examples, key=lambda example: (example.question, example.ids))
    return [
        _bundle(part)
        for _, group in groupby(order, key=lambda example: example.question)
        for part in _cut(list(group), batch_tokens)
    ]


def plan_epoch(
    bundles: Sequence[Bundle], *, batch_tokens: int, accumulation: int, seed: int, epoch: int
) -> list[list[list[int]]]:
    """Which bundles stand together: optimizer steps of batches of indices into `bundles`."""
    order = list(range(len(bundles)))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    batches = plan_batches(order, bundles, batch_tokens)
    return [batches[at : at + accumulation] for at in range(0, len(batches), accumulation)]


def plan_batches(
    order: Iterable[int], bundles: Sequence[Bundle], batch_tokens: int
) -> list[list[int]]:
    """Cut `order` into runs of bundles within the budget."""
    batches, filled = list[list[int]](), 0
    for index in order:
        size = bundles[index].num_tokens
        if batches and filled + size <= batch_tokens:
            batches[-1].append(index)
            filled += size
        else:
            batches.append([index])
            filled = size
    return batches


def collate(bundles: Sequence[Bundle], *, target_type: torch.dtype, device: torch.device) -> Batch:
    """Join bundles and flatten their targets."""
    tree, rows_K = join([bundle.packed for bundle in bundles], device)
    examples = [example for bundle in bundles for example in bundle.examples]
    return Batch(
        tree,
        rows_K,
        torch.tensor([t for e in examples for t in e.targets], dtype=target_type, device=device),
        torch.tensor([k for k, e in enumerate(examples) for _ in e.reads], device=device),
    )


def _bundle(examples: Sequence[Example]) -> Bundle:
    packed = pack([example.ids for example in examples], [example.reads for example in examples])
    return Bundle(tuple(examples), packed)


def _cut(examples: Sequence[Example], batch_tokens: int) -> list[list[Example]]:
    """Sorted examples in runs of at most `batch_tokens` distinct tokens."""
    parts, filled = list[list[Example]](), 0
    for example, added in zip(examples, num_distinct([e.ids for e in examples]), strict=True):
        if parts and filled + added <= batch_tokens:
            parts[-1].append(example)
            filled += added
        else:
            parts.append([example])
            filled = len(example.ids)
    return parts
