"""Which keys every token of a packed row sees: along its own path of the tree, and no others.

Shape letters: T packed tokens, R runs in a group, L tokens of a run, C keys that a run sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rung.model.radix import IntArray
from rung.model.store import KeyValueStore

BLOCK = 128
"""Queries of a run are cut into blocks of so many, so that few keys behind a query are touched."""
GROUP_SCORES = 262_144
"""Most scores a head in one group: more leaves the processor's cache."""
GROUP_WASTE = 1.25
"""A group may take so many times the scores that its runs need."""


class Run(NamedTuple):
    """Tokens of one path that stand together in the packed row."""

    length: int
    keys: IntArray
    """Where the keys of the path stand, up to the run's last token: its own come last."""


class Group(NamedTuple):
    """Runs of similar size, padded to one."""

    queries_RL: Tensor
    keys_RC: Tensor
    distance_RLC: Tensor
    """How far behind the query the key stands; negative where it must not be seen."""
    real: Tensor
    """Which of the R * L queries are no padding."""


@dataclass(slots=True)
class TreePlan:
    """Which keys every packed token sees, and where keys and values are kept."""

    groups: list[Group]
    order_T: Tensor
    """Puts the groups' outputs back into the row's order."""
    store: KeyValueStore | None = None
    """None: keys and values are those of the row itself."""
    slots_T: Tensor | None = None
    """Where the store keeps those of the row."""
    shared: Sequence[Group] = ()
    """Further keys that some tokens see: of a beginning that they share, one run for them all."""
    _bias: dict[Any, Tensor] = field(default_factory=dict[Any, Tensor])

    def bias(self, group: Group, dtype: torch.dtype, window: int | None) -> Tensor:
        """What is added to a group's scores: 0, or -inf where a key must not be seen."""
        key = (id(group), dtype, window)
        if key not in self._bias:
            self._bias[key] = _bias(group.distance_RLC, dtype, window)
        return self._bias[key]


def plan_attention(runs: Sequence[Run], device: torch.device) -> TreePlan:
    """Group the runs of a packed row, in the row's order, for `tree_attention`."""
    blocks = list(_blocks(runs))
    order = sorted(range(len(blocks)), key=lambda k: (len(blocks[k][1].keys), blocks[k][1].length))
    groups: list[Group] = []
    rows: list[IntArray] = []
    for members in _gather([blocks[k] for k in order]):
        groups.append(_group(members, device))
        rows.extend(np.arange(start, start + run.length) for start, run in members)
    order_T = np.empty(sum(run.length for run in runs), dtype=np.int64)
    order_T[np.concatenate(rows)] = np.arange(len(order_T))
    return TreePlan(groups, torch.from_numpy(order_T).to(device))


def _blocks(runs: Sequence[Run]) -> Iterator[tuple[int, Run]]:
    """The runs cut into blocks, each with its place in the row."""
    start = 0
    for run in runs:
        context = len(run.keys) - run.length
        for at in range(0, run.length, BLOCK):
            upto = min(at + BLOCK, run.length)
            yield start + at, Run(upto - at, run.keys[: context + upto])
        start += run.length


def _gather(blocks: Sequence[tuple[int, Run]]) -> Iterator[list[tuple[int, Run]]]:
    """Neighbors together while padding wastes little and the scores fit the cache."""
    members: list[tuple[int, Run]] = []
    longest = needed = 0
    for place, run in blocks:
        size = run.length * len(run.keys)
        padded = (len(members) + 1) * max(longest, run.length) * len(run.keys)
        if members and (padded > GROUP_SCORES or padded > GROUP_WASTE * (needed + size)):
            yield members
            members, longest, needed = [], 0, 0
        members.append((place, run))
        longest, needed = max(longest, run.length), needed + size
    if members:
        yield members


def _group(members: Sequence[tuple[int, Run]], device: torch.device) -> Group:
    length = max(run.length for _, run in members)
    num_keys = max(len(run.keys) for _, run in members)
    queries = np.zeros((len(members), length), dtype=np.int64)
    keys = np.zeros((len(members), num_keys), dtype=np.int64)
    distance = np.full((len(members), length, num_keys), -1, dtype=np.int32)
    is_real = np.zeros((len(members), length), dtype=bool)
    for row, (place, run) in enumerate(members):
        queries[row, : run.length] = np.arange(place, place + run.length)
        is_real[row, : run.length] = True
        keys[row, : len(run.keys)] = run.keys
        at = np.arange(len(run.keys) - run.length, len(run.keys))
        distance[row, : run.length, : len(run.keys)] = at[:, None] - np.arange(len(run.keys))
        distance[row, run.length :, 0] = 0  # padding sees one key, or its weights are no numbers
    tensors = (queries, keys, distance, np.flatnonzero(is_real))
    return Group(*(torch.from_numpy(array).to(device) for array in tensors))


def _bias(distance_RLC: Tensor, dtype: torch.dtype, window: int | None) -> Tensor:
    is_hidden = distance_RLC < 0
    if window is not None:
        is_hidden |= distance_RLC >= window
    bias = torch.zeros(distance_RLC.shape, dtype=dtype, device=distance_RLC.device)
    return bias.masked_fill_(is_hidden, -torch.inf)
