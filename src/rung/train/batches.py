"""Batches under a token budget: the same for one seed and epoch, with little padding.

Shape letters: B chains in a batch, T tokens, K targets of the whole batch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int, Num
from torch import Tensor

from rung.train.examples import Example

BATCHES_A_POOL = 64
"""Chains are sorted by length within pools of about so many batches: wide enough to leave
little padding, narrow enough to keep the order random."""


class Batch(NamedTuple):
    """Padded chains, and the positions (rows_K, cols_K) where targets_K are read."""

    ids_BT: Int[Tensor, "B T"]
    rows_K: Int[Tensor, " K"]
    cols_K: Int[Tensor, " K"]
    targets_K: Num[Tensor, " K"]

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        return Batch(*(tensor.to(device) for tensor in self))


def plan_epoch(
    lengths: Sequence[int], *, batch_tokens: int, accumulation: int, seed: int, epoch: int
) -> list[list[list[int]]]:
    """Which chains stand together: optimizer steps of batches of indices into `lengths`."""
    order = list(range(len(lengths)))
    rng = random.Random(f"{seed}/{epoch}")
    rng.shuffle(order)
    batches = [
        batch
        for pool in _pools(order, lengths, batch_tokens * BATCHES_A_POOL)
        for batch in plan_batches(sorted(pool, key=lambda i: lengths[i]), lengths, batch_tokens)
    ]
    rng.shuffle(batches)
    return [batches[at : at + accumulation] for at in range(0, len(batches), accumulation)]


def plan_batches(
    order: Sequence[int], lengths: Sequence[int], batch_tokens: int
) -> list[list[int]]:
    """Cut `order` into runs whose padded size stays within the budget."""
    batches, longest = list[list[int]](), 0
    for index in order:
        longest = max(longest, lengths[index])
        if batches and (len(batches[-1]) + 1) * longest <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
            longest = lengths[index]
    return batches


def collate(examples: Sequence[Example], *, pad_id: int, target_type: torch.dtype) -> Batch:
    """Pad on the right and flatten the targets."""
    width = max(len(example.ids) for example in examples)
    return Batch(
        torch.tensor([[*e.ids, *[pad_id] * (width - len(e.ids))] for e in examples]),
        torch.tensor([row for row, e in enumerate(examples) for _ in e.reads]),
        torch.tensor([col for e in examples for col in e.reads]),
        torch.tensor([t for e in examples for t in e.targets], dtype=target_type),
    )


def _pools(order: Sequence[int], lengths: Sequence[int], tokens: int) -> list[list[int]]:
    pools, filled = list[list[int]](), tokens
    for index in order:
        if filled >= tokens:
            pools.append([])
            filled = 0
        pools[-1].append(index)
        filled += lengths[index]
    return pools
