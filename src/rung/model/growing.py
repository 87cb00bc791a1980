"""Rows of tokens that a causal LM writes side by side, each behind the kept keys of its prefix.

Rows enter and leave at any time. A prompt's tokens go through the model once, whoever begins with
them; what a row wrote can stay for prompts to come. A step of L rows is one packed row of L
tokens, without padding. In attention, rows of similar length stand together, and the keys of a
prompt that several rows have are gathered once for all of them, where that spares enough.

Shape letters: L rows, N rows that enter, R runs or rows of a group, C keys, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rung.model.engine import PrefixEngine, Request
from rung.model.radix import IntArray, Node
from rung.model.tree_plan import GROUP_WASTE, Group, TreePlan

ALLOTTED = 16
"""Slots that a row gets at a time."""
GROUP_BYTES = {"cpu": 4 * 2**20, "cuda": 2**30}
"""Keys and values of a layer that one group gathers: on a CPU, more leaves the cache."""
SHARED_BYTES = {"cpu": 6 * 2**20, "cuda": 2**28}
"""Prompts are read once for all their rows where that spares so much of a layer's gathering. With
less, the two softmaxes cost more than they spare (on a CPU; not measured on a GPU)."""
WASTE_OF = 8
"""A group may waste this part of itself beyond GROUP_WASTE: small ones cost calls."""

NOWHERE = 2**40
"""A column behind every token."""


class _Runs(NamedTuple):
    """Rows that stand together, R runs of L, and the keys that those of a run see."""

    queries_RL: Tensor
    keys_RC: Tensor
    columns_RC: Tensor
    """Where in its rows a key stands."""
    real: Tensor
    """Which of the R * L queries are no padding."""
    width: int
    """Columns that were written when the rows were arranged; the others will be."""

    def group(self, positions_L: Tensor, grown: int) -> Group:
        """What the rows see, so many tokens later."""
        upto = self.width + grown
        positions_RL1 = positions_L[self.queries_RL][:, :, None]
        distance_RLC = positions_RL1 - self.columns_RC[:, None, :upto]
        keys_RC = self.keys_RC[:, :upto].contiguous()
        return Group(self.queries_RL, keys_RC, distance_RLC, self.real)


class GrowingRows:
    """L rows; at first none.

    Args:
        engine: The causal LM and its memory. After an error in here, make it forget.
    """

    def __init__(self, engine: PrefixEngine) -> None:
        self._engine, self._device = engine, engine.model.device
        self._prompts: list[Node] = []
        self._starts_L = self._lengths_L = self._allotted_L = np.zeros(0, dtype=np.int64)
        self._keys_LC = torch.zeros(0, ALLOTTED, dtype=torch.long, device=self._device)
        self._arrange()

    def __len__(self) -> int:
        """How many rows are being written."""
        return len(self._prompts)

    def enter(self, prompts_N: Sequence[tuple[int, ...]]) -> Tensor:
        """Add rows; return the logits (N, V) for their first tokens."""
        memory = self._engine.memory
        distinct = {prompt: k for k, prompt in enumerate(dict.fromkeys(prompts_N))}
        logits_GV = self._engine.compute([Request(ids, (len(ids) - 1,)) for ids in distinct])
        ends = [memory.tree.insert(prompt) for prompt in prompts_N]
        for end in ends:
            memory.tree.pin(end)
        memory.trim()
        lengths_N = np.array([len(prompt) for prompt in prompts_N])
        self._prompts += ends
        self._starts_L = np.concatenate([self._starts_L, lengths_N])
        self._lengths_L = np.concatenate([self._lengths_L, lengths_N])
        self._allotted_L = np.concatenate([self._allotted_L, lengths_N])
        self._add_keys([end.path_slots() for end in ends])
        self._allot()
        self._arrange()
        return logits_GV[[distinct[prompt] for prompt in prompts_N]]

    def advance(self, tokens_L: Tensor) -> Tensor:
        """Write one token in every row; return the logits (L, V) for the next ones."""
        if (self._lengths_L == self._allotted_L).any():
            self._allot()
            self._arrange()
        positions_L = torch.from_numpy(self._lengths_L).to(self._device)
        self._lengths_L = self._lengths_L + 1
        plan = self._plan(positions_L)
        return self._engine.run(tokens_L, positions_L, plan, self._rows_L)

    def keep(self, left: Sequence[int], written: Mapping[int, tuple[int, ...]]) -> None:
        """Drop all rows but those that are `left`.

        Args:
            left: Rows that stay; they are row 0, 1, ... from now on.
            written: The tokens of rows that leave and whose keys are to stay in memory.
        """
        gone = sorted(set(range(len(self))) - set(left))
        for row, slots in zip(gone, self._keys_LC[gone].cpu().numpy(), strict=True):
            self._give_back(row, slots, written.get(row))
        self._prompts = [self._prompts[row] for row in left]
        index = np.array(left, dtype=np.int64)
        self._starts_L, self._lengths_L = self._starts_L[index], self._lengths_L[index]
        self._allotted_L = self._allotted_L[index]
        self._keys_LC = self._keys_LC[torch.from_numpy(index).to(self._device)]
        self._arrange()
        self._engine.memory.trim()

    def _give_back(self, row: int, slots: IntArray, ids: tuple[int, ...] | None) -> None:
        memory, start = self._engine.memory, int(self._starts_L[row])
        used = start if ids is None else int(self._lengths_L[row])
        if ids is not None:
            memory.adopt(ids[:used], slots[:used], start)
        memory.take_back(slots[used : self._allotted_L[row]])
        memory.tree.unpin(self._prompts[row])

    def _add_keys(self, slots_N: Sequence[IntArray]) -> None:
        self._widen(max(map(len, slots_N)))
        keys_NC = np.zeros((len(slots_N), self._keys_LC.shape[1]), dtype=np.int64)
        for row, slots in enumerate(slots_N):
            keys_NC[row, : len(slots)] = slots
        self._keys_LC = torch.cat([self._keys_LC, torch.from_numpy(keys_NC).to(self._device)])

    def _allot(self) -> None:
        """Slots for the next tokens of the rows that have none left."""
        rows = np.flatnonzero(self._lengths_L == self._allotted_L)
        slots = self._engine.memory.lend(len(rows) * ALLOTTED).reshape(len(rows), ALLOTTED)
        columns = self._allotted_L[rows][:, None] + np.arange(ALLOTTED)
        self._widen(int(columns.max()) + 1)
        at = (torch.from_numpy(rows[:, None]), torch.from_numpy(columns))
        self._keys_LC[at] = torch.from_numpy(slots).to(self._device)
        self._allotted_L[rows] += ALLOTTED

    def _widen(self, width: int) -> None:
        lacking = width - self._keys_LC.shape[1]
        if lacking > 0:
            spare = self._keys_LC.shape[1]
            self._keys_LC = torch.nn.functional.pad(self._keys_LC, (0, max(lacking, spare)))

    def _arrange(self) -> None:
        """Put rows of similar length together, few enough that their keys fit the cache."""
        shared = self._sharing()
        begin_L = np.zeros(len(self), dtype=np.int64)
        for rows in shared:
            begin_L[rows] = self._starts_L[rows]
        lengths_N = np.array([self._starts_L[rows[0]] for rows in shared])
        self._shared = [self._prompt_runs([shared[k] for k in cut]) for cut in self._cut(lengths_N)]
        cuts = list(self._cut(self._lengths_L - begin_L))
        self._own = [self._own_runs(rows, begin_L[rows]) for rows in cuts]
        places_L = np.zeros(len(self), dtype=np.int64)
        places_L[[row for rows in cuts for row in rows]] = np.arange(len(self))
        self._places_L = torch.from_numpy(places_L).to(self._device)
        self._rows_L = torch.arange(len(self), device=self._device)
        self._grown = 0

    def _sharing(self) -> list[IntArray]:
        """The rows of every prompt that is read once for all of them."""
        alike = _alike(self._prompts)
        spared = sum((len(rows) - 1) * int(self._starts_L[rows[0]]) for rows in alike)
        is_worth_it = spared * self._bytes_a_key() >= SHARED_BYTES[self._device.type]
        return alike if is_worth_it else []

    def _prompt_runs(self, shared: Sequence[IntArray]) -> _Runs:
        """Prompts, each with the rows that have it."""
        lengths_R = self._starts_L[[rows[0] for rows in shared]]
        count, width = max(map(len, shared)), int(lengths_R.max())
        queries_RL = np.zeros((len(shared), count), dtype=np.int64)
        is_real_RL = np.zeros((len(shared), count), dtype=bool)
        for run, rows in enumerate(shared):
            queries_RL[run, : len(rows)], is_real_RL[run, : len(rows)] = rows, True
        columns_C = np.arange(width)
        columns_RC = np.where(columns_C < lengths_R[:, None], columns_C, NOWHERE)
        return self._runs(queries_RL, columns_RC, width, is_real_RL)

    def _own_runs(self, rows_R: IntArray, begin_R: IntArray) -> _Runs:
        """Rows, each with its keys from a column on, up to where it is arranged anew at last."""
        width = int((self._lengths_L[rows_R] - begin_R).max())
        columns_RC = begin_R[:, None] + np.arange(width + ALLOTTED)
        return self._runs(rows_R[:, None], columns_RC, width, np.ones((len(rows_R), 1), dtype=bool))

    def _runs(
        self, queries_RL: IntArray, columns_RC: IntArray, width: int, is_real_RL: IntArray
    ) -> _Runs:
        queries, columns, real = (
            torch.from_numpy(array).to(self._device)
            for array in (queries_RL, columns_RC, np.flatnonzero(is_real_RL))
        )
        there = columns.clamp(max=self._keys_LC.shape[1] - 1)
        return _Runs(queries, self._keys_LC[queries[:, :1], there], columns, real, width)

    def _cut(self, lengths_N: IntArray) -> Iterator[IntArray]:
        """Which of N runs stand together, by how many keys each has."""
        most = GROUP_BYTES[self._device.type] // self._bytes_a_key()
        order = np.argsort(lengths_N, kind="stable")
        start = needed = 0
        for at, run in enumerate(order):
            length, count = int(lengths_N[run]), at + 1 - start
            wasted = count * length - (needed + length) * GROUP_WASTE
            if count > 1 and (count * (length + ALLOTTED) > most or wasted > most // WASTE_OF):
                yield order[start:at]
                start, needed = at, 0
            needed += length
        if start < len(order):
            yield order[start:]

    def _bytes_a_key(self) -> int:
        """Key and value of a token in one layer."""
        layers = self._engine.model.config.get_text_config().num_hidden_layers
        return max(1, self._engine.memory.bytes_a_token // layers)

    def _plan(self, positions_L: Tensor) -> TreePlan:
        self._grown += 1
        groups = [runs.group(positions_L, self._grown) for runs in self._own]
        shared = [runs.group(positions_L, self._grown) for runs in self._shared]
        slots_L = self._keys_LC[self._rows_L, positions_L]
        return TreePlan(groups, self._places_L, slots_T=slots_L, shared=shared)


def _alike(prompts: Sequence[Node]) -> list[IntArray]:
    """The rows of every prompt that several rows have."""
    rows = dict[Node, list[int]]()
    for row, prompt in enumerate(prompts):
        rows.setdefault(prompt, []).append(row)
    return [np.array(some) for some in rows.values() if len(some) > 1]
