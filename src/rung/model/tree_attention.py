"""Attention over packed token trees: every token looks back along its own path, and only there.

All tokens of a batch stand in one row without padding, so the matrix products (nearly all of the
work) see each distinct token once. Attention alone is done in groups of runs of similar size, over
keys and values that are gathered from the row itself (training) or from a store that outlives the
batch (scoring), as a `TreePlan` says.

It plugs into transformers' attention interface, so every decoder that uses the interface can run
on trees: call `use_tree_attention(trunk)`, then ``trunk(input_ids, position_ids=..., tree=plan)``.

Shape letters: T packed tokens, R runs in a group, L tokens of a run, C keys that a run sees, N
slots of a store, H heads, G key-value heads, D width of a head. A last letter U is H / G, the
heads that share one key-value head.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_utils import AttentionInterface

from rung.core.errors import RungError
from rung.model.tree_plan import Group, TreePlan

NAME = "rung_tree"
LAYER_TYPES = {"full_attention", "sliding_attention"}
"""Layers, as transformers' configs name them, in which a token meets others only here."""
FUSED_FROM = 16
"""Runs of so many tokens are read by torch's own attention, which is slower on shorter ones."""


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
        keys_R = [group.keys_RC.flatten() for group in groups]
        queries_R = [group.queries_RL.flatten() for group in groups]
        queries = _taken(queries_GUTD, queries_R)
        keys, values = _taken(keys_GND, keys_R), _taken(values_GND, keys_R)
        for group, *inputs in zip(groups, queries, keys, values, strict=True):
            bias_RLC = tree.bias(group, query.dtype, sliding_window)
            shaping = _Shaping(bias_RLC, softcap, sinks_H, dropout)
            parts.append(_attend(group, shaping, *inputs, weighs=bool(tree.shared)))
        return _joined(parts)

    own = seen(tree.groups, s_aux).at(tree.order_T)
    if not tree.shared:
        return own.out_THD[None], None
    rows_S = torch.cat([group.queries_RL.flatten()[group.real] for group in tree.shared])
    return _merged(own, seen(tree.shared, None), rows_S)[None], None


def _taken(tensor: Tensor, rows: Sequence[Tensor]) -> Iterable[Tensor]:
    """Rows (the last dimension but one) for each group: one at a time, where nothing learns."""
    if torch.is_grad_enabled() and tensor.requires_grad:
        return _Taken.apply(tensor, *rows)
    return (tensor.index_select(-2, of_group) for of_group in rows)


class _Taken(torch.autograd.Function):
    """Rows for all groups, whose gradients are added up in one place.

    By autograd's own way each group would make a gradient of the whole row, nearly all of it 0.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*rows)
        ctx.shape = tensor.shape
        return tuple(tensor.index_select(-2, of_group) for of_group in rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        total = gradients[0].new_zeros(ctx.shape)
        for rows, gradient in zip(ctx.saved_tensors, gradients, strict=True):
            total.index_add_(-2, rows, gradient)
        return total, *(None for _ in gradients)


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
    """What a group's tokens see, and if it `weighs` with how much weight.

    T are the group's queries, N the keys of its runs, one run after the other.
    """
    if not weighs and _is_faster_fused(group, shaping, queries_GUTD):
        return _fused(group, shaping.bias_RLC, queries_GUTD, keys_GND, values_GND)
    num_kv, num_shared, _, width = queries_GUTD.shape
    runs, length = group.queries_RL.shape
    num_keys = group.keys_RC.shape[1]
    keys = keys_GND.view(num_kv * runs, num_keys, width)
    values = values_GND.view(num_kv * runs, num_keys, -1)
    queries = queries_GUTD.view(num_kv, num_shared, runs, length, width).transpose(1, 2)
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


def _is_faster_fused(group: Group, shaping: _Shaping, queries_GUTD: Tensor) -> bool:
    """Whether torch's own attention does the same in less time (`benchmarks/attention.py`).

    Reading only: its backward pass takes up to a quarter longer than ours in fp32, and about twice
    as long in bf16.
    """
    is_plain = shaping.softcap is None and shaping.sinks_H is None and not shaping.dropout
    is_long = group.queries_RL.shape[1] >= FUSED_FROM
    on_cpu = queries_GUTD.device.type == "cpu"
    return is_plain and is_long and on_cpu and not torch.is_grad_enabled()


def _fused(
    group: Group, bias_RLC: Tensor, queries_GUTD: Tensor, keys_GND: Tensor, values_GND: Tensor
) -> _Seen:
    """`_attend` by torch's own attention."""
    queries_RHLD, keys_RGCD, values_RGCD = (
        tensor.unflatten(1, (len(group.queries_RL), -1)).transpose(0, 1)
        for tensor in (queries_GUTD.flatten(0, 1), keys_GND, values_GND)
    )
    out_RHLD = F.scaled_dot_product_attention(
        queries_RHLD, keys_RGCD, values_RGCD, bias_RLC[:, None], scale=1.0, enable_gqa=True
    )
    out_THD = out_RHLD.transpose(1, 2).flatten(0, 1).index_select(0, group.real)
    return _Seen(out_THD, None)


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


AttentionInterface.register(NAME, tree_attention)
