"""Keys and values of token prefixes: which are kept, where they stand, and which go first."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rung.model.radix import IntArray, RadixTree
from rung.model.store import KeyValueStore

SHRINK_FROM = 4096
"""Slots; a smaller store is not worth moving."""


class PrefixMemory:
    """A tree of the tokens whose keys and values are kept, and the store that they are in.

    Args:
        max_bytes: What a call leaves behind at most (`trim`); what is longest unused is forgotten
            and has to be computed again. None: all is kept.
        keeps_unheld: Keep what nobody holds, until the room is needed.
    """

    def __init__(self, *, max_bytes: int | None = None, keeps_unheld: bool = False) -> None:
        self._max_bytes, self._keeps_unheld = max_bytes, keeps_unheld
        self.forget()

    @property
    def kept_tokens(self) -> int:
        """Tokens whose keys and values are kept now, and those lent out."""
        return self.tree.slots.used

    @property
    def bytes_a_token(self) -> int:
        """Memory that a kept token takes; 0 before the first one."""
        return self.store.bytes_a_slot

    def reserve(self) -> None:
        """Make room in the store for all slots that are out."""
        self.store.reserve(self.tree.slots.size)

    def lend(self, count: int) -> IntArray:
        """Slots for tokens that are being written, in no prefix yet."""
        self._lent += count
        slots = self.tree.slots.take(count)
        self.reserve()
        return slots

    def take_back(self, slots: IntArray) -> None:
        """Lent slots that nobody needs."""
        self._lent -= len(slots)
        self.tree.slots.give_back(slots)

    def adopt(self, ids: Sequence[int], slots: IntArray, start: int) -> None:
        """Keep a prefix whose tokens from `start` on were written into lent slots."""
        twice = self.tree.adopt(ids, slots, start)
        self._lent -= len(ids) - start - len(twice)
        self.take_back(twice)

    def release(self, name: str) -> None:
        """Stop holding what is held under a name."""
        self.tree.release(name)
        self._shrink()

    def trim(self) -> None:
        """Forget what is beyond the cap, and give memory back where most slots are free."""
        if self._max_bytes is not None and self.bytes_a_token:
            self.tree.evict_down_to(self._max_bytes // self.bytes_a_token)
        self._shrink()

    def forget(self) -> None:
        """Forget all: half-written keys must not be taken for whole ones."""
        self.tree, self.store = RadixTree(keeps_unheld=self._keeps_unheld), KeyValueStore()
        self._lent = 0

    def _shrink(self) -> None:
        size = self.tree.slots.size
        if self._lent or size < SHRINK_FROM or 4 * self.kept_tokens >= size:
            return
        kept = torch.from_numpy(self.tree.renumber())
        self.store.keep(kept)
