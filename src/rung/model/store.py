"""Keys and values that outlive a batch.

Shape letters: T tokens, N slots of a store, G key-value heads, D width of a head.
"""

from __future__ import annotations

from torch import Tensor


class KeyValueStore:
    """Keys and values of N slots in every layer; it grows as slots are used."""

    def __init__(self) -> None:
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def reserve(self, num_slots: int) -> None:
        """Make room for slots below `num_slots` in the layers that are there."""
        for layer, (keys, values) in self._layers.items():
            if keys.shape[1] < num_slots:
                size = max(num_slots, 2 * keys.shape[1])
                self._layers[layer] = _grown(keys, size), _grown(values, size)

    def write(
        self, layer: int, slots_T: Tensor, keys_GTD: Tensor, values_GTD: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keep a layer's new keys and values; return all of the layer, (G, N, D) each."""
        if layer not in self._layers:
            size = int(slots_T.max()) + 1
            self._layers[layer] = _grown(keys_GTD, size, 0), _grown(values_GTD, size, 0)
        keys_GND, values_GND = self._layers[layer]
        keys_GND.index_copy_(1, slots_T, keys_GTD)
        values_GND.index_copy_(1, slots_T, values_GTD)
        return keys_GND, values_GND

    def keep(self, slots: Tensor) -> None:
        """Keep these slots alone; they are 0, 1, ... from now on."""
        for layer, pair in self._layers.items():
            keys, values = (tensor.index_select(1, slots.to(tensor.device)) for tensor in pair)
            self._layers[layer] = keys, values

    @property
    def bytes_a_slot(self) -> int:
        """What one token takes in all layers; 0 before the first write."""
        return sum(
            2 * keys.shape[0] * keys.shape[2] * keys.element_size()
            for keys, _ in self._layers.values()
        )


def _grown(tensor_GND: Tensor, size: int, copied: int | None = None) -> Tensor:
    copied = tensor_GND.shape[1] if copied is None else copied
    num_groups, _, width = tensor_GND.shape
    grown = tensor_GND.new_zeros(num_groups, size, width)
    grown[:, :copied] = tensor_GND[:, :copied]
    return grown
