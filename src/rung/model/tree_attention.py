"""Attention over packed token trees: every token looks back along its own path, and only there.

All tokens of a batch stand in one row without padding, so the matrix products (nearly all of the
work) see each distinct token once. Attention alone is done in groups of runs of similar size, over
keys and values that are gathered from the row itself (training) or from a store that outlives the
batch (`KeyValueStore`, scoring).

It plugs into transformers' attention interface, so every decoder that uses the interface can run
on trees: call `use_tree_attention(trunk)`, then ``trunk(input_ids, position_ids=..., tree=plan)``.

Shape letters: T packed tokens, R runs in a group, L tokens of a run, C keys that a run sees, N
slots of a store, H heads, G key-value heads, D width of a head. A last letter U is H / G, the
heads that share one key-value head.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_utils import AttentionInterface

from rung.core.errors import RungError
from rung.model.radix import IntArray

NAME = "rung_tree"
LAYER_TYPES = {"full_attention", "sliding_attention"}
"""Layers, as transformers' configs name them, in which a token meets others only here."""
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


def use_tree_attention(trunk: Any) -> None:
    """Let a transformers decoder run on packed trees from now on.

    Raises:
        RungError: The architecture does not use transformers' attention interface, or has layers
            in which tokens meet by other ways than attention.
    """
    if not getattr(trunk, "_supports_attention_backend", False):
        raise RungError(
            f"{type(trunk).__name__} has an attention of its own, which can't run on token trees"
        )
    if any(getattr(module, "is_causal", True) is False for module in trunk.modules()):
        raise RungError(
            f"{type(trunk).__name__} reads tokens with those behind them, which no tree has"
        )
    kinds = set(getattr(trunk.config.get_text_config(), "layer_types", None) or ())
    if kinds - LAYER_TYPES:
        named = ", ".join(sorted(kinds - LAYER_TYPES))
        raise RungError(f"{type(trunk).__name__} has layers ({named}) without token trees")
    trunk.set_attn_implementation(NAME)


@contextlib.contextmanager
def on_token_trees(model: Any) -> Generator[None]:
    """Let a decoder run on packed trees for a while; then its attention is as it was.

    Raises:
        RungError: Its architecture can't.
    """
    before = model.config._attn_implementation
    use_tree_attention(model)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


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


def tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    tree: TreePlan | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of one packed row, as transformers calls it: (1, H, T, D) to (1, T, H, D).

    Raises:
        RungError: The model was called without a tree, or does not hand it on.
    """
    if tree is None:
        raise RungError(f"no token tree has reached {type(module).__name__}")
    keys_GND, values_GND = key[0], value[0]
    if tree.store is not None:
        assert tree.slots_T is not None
        layer: Any = module.layer_idx
        keys_GND, values_GND = tree.store.write(layer, tree.slots_T, keys_GND, values_GND)
    num_groups, width = keys_GND.shape[0], query.shape[-1]
    queries_GUTD = query[0].unflatten(0, (num_groups, -1)) * (scaling or width**-0.5)

    def seen(groups: Sequence[Group], sinks_H: Tensor | None) -> _Seen:
        parts: list[_Seen] = []
        for group in groups:
            bias_RLC = tree.bias(group, query.dtype, sliding_window)
            shaping = _Shaping(bias_RLC, softcap, sinks_H, dropout)
            weighs = bool(tree.shared)
            parts.append(_attend(group, shaping, queries_GUTD, keys_GND, values_GND, weighs=weighs))
        return _joined(parts)

    own = seen(tree.groups, s_aux).at(tree.order_T)
    if not tree.shared:
        return own.out_THD[None], None
    rows_S = torch.cat([group.queries_RL.flatten()[group.real] for group in tree.shared])
    return _merged(own, seen(tree.shared, None), rows_S)[None], None


class _Seen(NamedTuple):
    """What tokens saw of some keys."""

    out_THD: Tensor
    mass_TH: Tensor | None
    """The logarithm of their scores' exponentials, summed; None where all keys were seen."""

    def at(self, rows: Tensor) -> _Seen:
        mass_TH = None if self.mass_TH is None else self.mass_TH.index_select(0, rows)
        return _Seen(self.out_THD.index_select(0, rows), mass_TH)


class _Shaping(NamedTuple):
    """What an architecture does to a group's scores."""

    bias_RLC: Tensor
    softcap: float | None
    sinks_H: Tensor | None
    """A score of every head for seeing nothing (gpt-oss)."""
    dropout: float

    def scores(self, scores_GRULC: Tensor) -> Tensor:
        """The scores as they stand; that of the sink, if there is one, comes last."""
        if self.softcap is not None:
            scores_GRULC = self.softcap * torch.tanh(scores_GRULC / self.softcap)
        scores_GRULC = scores_GRULC + self.bias_RLC[None, :, None]
        if self.sinks_H is None:
            return scores_GRULC
        num_groups, runs, shared, length, _ = scores_GRULC.shape
        sinks = self.sinks_H.view(num_groups, 1, shared, 1, 1).to(scores_GRULC.dtype)
        return torch.cat([scores_GRULC, sinks.expand(-1, runs, -1, length, -1)], -1)

    def weights(self, scores_GRULC: Tensor) -> Tensor:
        """The weights of the keys."""
        weights_GRULC = torch.softmax(scores_GRULC, -1)
        if self.sinks_H is not None:
            weights_GRULC = weights_GRULC[..., :-1]
        return F.dropout(weights_GRULC, self.dropout) if self.dropout else weights_GRULC


def _attend(
    group: Group,
    shaping: _Shaping,
    queries_GUTD: Tensor,
    keys_GND: Tensor,
    values_GND: Tensor,
    *,
    weighs: bool,
) -> _Seen:
    """What a group's tokens see, and if it `weighs` with how much weight."""
    num_kv, num_shared, _, width = queries_GUTD.shape
    runs, length = group.queries_RL.shape
    num_keys = group.keys_RC.shape[1]
    flat_keys = group.keys_RC.flatten()
    keys = keys_GND.index_select(1, flat_keys).view(num_kv * runs, num_keys, width)
    values = values_GND.index_select(1, flat_keys).view(num_kv * runs, num_keys, -1)
    queries = queries_GUTD.index_select(2, group.queries_RL.flatten())
    queries = queries.view(num_kv, num_shared, runs, length, width).transpose(1, 2)
    queries = queries.reshape(num_kv * runs, num_shared * length, width)
    scores = torch.bmm(queries, keys.transpose(1, 2))
    scores = shaping.scores(scores.view(num_kv, runs, num_shared, length, num_keys))
    weights = shaping.weights(scores)
    mass = _mass(scores[..., :num_keys], weights) if weighs else None
    weights = weights.reshape(num_kv * runs, num_shared * length, num_keys)
    out = torch.bmm(weights, values).view(num_kv, runs, num_shared, length, -1)
    return _Seen(
        _by_token(out, group), None if mass is None else _by_token(mass, group).squeeze(-1)
    )


def _mass(scores: Tensor, weights: Tensor) -> Tensor:
    """The logarithm of the summed exponentials, which a softmax has taken out of the scores."""
    most, weight_of_most = scores.amax(-1, keepdim=True), weights.amax(-1, keepdim=True)
    return most.float() - weight_of_most.float().log()


def _by_token(found_GRULD: Tensor, group: Group) -> Tensor:
    """The tokens of a group, without its padding, (T, H, D)."""
    found_RLHD = found_GRULD.permute(1, 3, 0, 2, 4).flatten(2, 3)
    return found_RLHD.flatten(0, 1).index_select(0, group.real)


def _joined(parts: Sequence[_Seen]) -> _Seen:
    """The tokens of all groups, in turn."""
    mass = [part.mass_TH for part in parts if part.mass_TH is not None]
    return _Seen(torch.cat([part.out_THD for part in parts]), torch.cat(mass) if mass else None)


def _merged(own: _Seen, shared: _Seen, rows_S: Tensor) -> Tensor:
    """What tokens see of their own keys and of shared ones, (T, H, D).

    A softmax over both is the two softmaxes, weighed by the sums of exponentials (Hydragen, arXiv
    2402.05099).
    """
    before = own.at(rows_S)
    assert before.mass_TH is not None and shared.mass_TH is not None
    share_SH1 = torch.sigmoid(shared.mass_TH - before.mass_TH)[..., None].to(own.out_THD.dtype)
    both_SHD = torch.lerp(before.out_THD, shared.out_THD, share_SH1)
    # behind a sliding window nothing shared is seen: no weight, and outputs that are no numbers
    both_SHD = torch.where(share_SH1 > 0, both_SHD, before.out_THD)
    return own.out_THD.index_copy(0, rows_S, both_SHD)


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


def _grown(tensor_GND: Tensor, size: int, copied: int | None = None) -> Tensor:
    copied = tensor_GND.shape[1] if copied is None else copied
    num_groups, _, width = tensor_GND.shape
    grown = tensor_GND.new_zeros(num_groups, size, width)
    grown[:, :copied] = tensor_GND[:, :copied]
    return grown


AttentionInterface.register(NAME, tree_attention)
