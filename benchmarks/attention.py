"""Ways to compute attention on a token tree: the one that rung takes beside the others.

One attention layer of SmolLM2-135M's shape (9 heads, 3 of keys and values, 64 wide) on packed rows
of real chains, where nothing but attention is timed. All ways get the same queries, keys and
values, and must give the same outputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import torch
import tyro
from common import SHARED_DATA, Spread, conditions, publish, table
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from workloads import Workload, best_of_n, unrelated

from rung.core import Chain, Problem, RungError
from rung.model.gguf import causal_lm_folder
from rung.model.packing import Packed, pack
from rung.model.reading import Reading
from rung.model.rendering import render_all
from rung.model.tree_attention import tree_attention
from rung.model.tree_plan import Group, Run, TreePlan, plan_attention
from rung.model.trunk import load_tokenizer

HEADS, KEY_HEADS, WIDTH = 9, 3, 64
CPU = torch.device("cpu")


class Row(NamedTuple):
    """A packed row with queries (1, H, T, D) and keys and values (1, G, T, D)."""

    packed: Packed
    query: Tensor
    key: Tensor
    value: Tensor


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From queries, keys and values to outputs (1, T, H, D)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """The defaults make the numbers in README.md."""

    data: Path = SHARED_DATA
    """The folder of the real data."""
    trunk: str = "smollm2"
    """Whose tokenizer."""
    tokens: tuple[int, ...] = (1024,)
    """Lengths of the packed rows, at most."""
    precision: Literal["fp32", "bf16"] = "fp32"
    rounds: int = 5
    """Times that each way is measured, in turn."""
    flex: bool = True
    """Compile FlexAttention, which takes a C++ compiler."""
    publish: bool = False
    """Put the table into README.md beside this file."""


def main(run: Attention) -> None:
    torch.set_num_threads(1)
    lines: list[list[str]] = []
    for num_tokens in run.tokens:
        for name, row in _rows(run, num_tokens).items():
            lines += _compared(run, f"{name}, {len(row.packed.ids_T)} tokens", row)
    head = [
        "row",
        "attention",
        "forward, ms",
        "and backward, ms",
        "its time / rung's",
        "differs by",
    ]
    told = {"precision": run.precision, "threads": 1, "rounds": run.rounds}
    text = f"{table(head, lines)}\n\n{conditions(told)}"
    print(text)
    if run.publish:
        publish("attention", text)


def _rows(run: Attention, num_tokens: int) -> dict[str, Row]:
    tokenizer = load_tokenizer(causal_lm_folder(run.trunk))
    chains = {
        "unrelated chains": _chains(unrelated(64, run.data)),
        "chains of one question": _chains(best_of_n(64)),
        "alternatives to each step": _alternatives(_chains(best_of_n(64))),
        "short steps behind one prefix": _beams(_chains(best_of_n(64))),
    }
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[run.precision]
    return {name: _row(found, tokenizer, num_tokens, dtype) for name, found in chains.items()}


def _chains(workload: Workload) -> list[Chain]:
    [level] = workload.levels
    return [Chain.of(Problem(str(k), workload.questions[k]), steps) for k, steps in level]


def _alternatives(chains: Sequence[Chain]) -> list[Chain]:
    """The longest chain, and at each of its steps three other chains' first steps instead."""
    stem = max(chains, key=lambda chain: len(chain.steps))
    others = [chain.texts[0] for chain in chains if chain is not stem]
    return [stem] + [
        stem.prefix(k).extend(others[(3 * k + j) % len(others)])
        for k in range(len(stem.steps))
        for j in range(3)
    ]


def _beams(chains: Sequence[Chain]) -> list[Chain]:
    """A long chain, and behind it the first words of the others' steps, as a beam search asks."""
    stem = max(chains, key=lambda chain: sum(map(len, chain.texts)))
    return [stem.extend(" ".join(chain.texts[-1].split()[:6])) for chain in chains]


def _row(chains: Sequence[Chain], tokenizer: Any, num_tokens: int, dtype: torch.dtype) -> Row:
    ids = [shown.ids for shown in render_all(chains, tokenizer, Reading(kind="prm"))]
    count = 1
    while count < len(ids) and len(_packed(ids[: count + 1]).ids_T) <= num_tokens:
        count += 1
    packed = _packed(ids[:count])
    draw = torch.Generator().manual_seed(0)
    sizes = [(1, heads, len(packed.ids_T), WIDTH) for heads in (HEADS, KEY_HEADS, KEY_HEADS)]
    return Row(packed, *(torch.randn(size, generator=draw).to(dtype) for size in sizes))


def _packed(ids: Sequence[Sequence[int]]) -> Packed:
    return pack(ids, [[len(one) - 1] for one in ids])


def _compared(run: Attention, name: str, row: Row) -> list[list[str]]:
    ways: dict[str, Attend] = {
        "rung: runs of similar size together": grouped(row.packed.runs),
        "the same groups, each through SDPA": fused(row.packed.runs),
        "expanded keys and values, one padded batch": expanded(row.packed.runs),
        "run by run": one_by_one(row.packed.runs),
        "SDPA with a mask over the row": masked(row.packed.runs),
    }
    if run.flex:
        ways["FlexAttention, compiled"] = flex(row.packed.runs)
    outputs = {way: attend(row.query, row.key, row.value) for way, attend in ways.items()}
    forward: dict[str, list[float]] = {way: [] for way in ways}
    both: dict[str, list[float | None]] = {way: [] for way in ways}
    for _ in range(run.rounds):
        for way, attend in ways.items():
            forward[way].append(_forward_ms(attend, row))
            both[way].append(_both_ms(attend, row))
    first, *_ = ways
    return [
        [
            name,
            way,
            Spread.of(forward[way]).shown(),
            _shown(both[way]),
            f"{Spread.of(forward[way]).middle / Spread.of(forward[first]).middle:.1f}",
            f"{(outputs[way] - outputs[first]).abs().max().item():.0e}",
        ]
        for way in ways
    ]


def _shown(times: Sequence[float | None]) -> str:
    known = [time_ms for time_ms in times if time_ms is not None]
    return Spread.of(known).shown() if known else "has none"


def _forward_ms(attend: Attend, row: Row) -> float:
    with torch.no_grad():
        attend(row.query, row.key, row.value)  # else the first in turn finds cold caches
        began_s = time.process_time()
        attend(row.query, row.key, row.value)
        return 1000 * (time.process_time() - began_s)


def _both_ms(attend: Attend, row: Row) -> float | None:
    """Forward and backward; None where there is no backward pass."""
    inputs = [tensor.clone().requires_grad_() for tensor in (row.query, row.key, row.value)]
    began_s = time.process_time()
    try:
        attend(*inputs).sum().backward()
    except (NotImplementedError, RuntimeError):
        return None
    return 1000 * (time.process_time() - began_s)


def grouped(runs: Sequence[Run]) -> Attend:
    """Rung's own; the plan is made once a batch, for all layers, and is not timed."""
    return _by_plan(plan_attention(runs, CPU))


def _by_plan(plan: TreePlan) -> Attend:
    module: Any = SimpleNamespace(layer_idx=0)
    return lambda q, k, v: tree_attention(module, q, k, v, None, tree=plan)[0]


def fused(runs: Sequence[Run]) -> Attend:
    """The groups of rung, each by torch's fused attention."""
    plan = plan_attention(runs, CPU)

    def seen(group: Group, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        num_runs = len(group.queries_RL)
        query, key, value = (
            tensor[0].index_select(1, at.flatten()).unflatten(1, (num_runs, -1)).transpose(0, 1)
            for tensor, at in ((q, group.queries_RL), (k, group.keys_RC), (v, group.keys_RC))
        )
        bias_RLC = plan.bias(group, q.dtype, None)
        out = F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias_RLC[:, None], enable_gqa=True
        )
        return out.transpose(1, 2).flatten(0, 1).index_select(0, group.real)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        parts = [seen(group, q, k, v) for group in plan.groups]
        return torch.cat(parts).index_select(0, plan.order_T)[None]

    return attend


def expanded(runs: Sequence[Run]) -> Attend:
    """Every run's keys and values written out, all runs padded to the longest."""
    length, num_keys = max(r.length for r in runs), max(len(r.keys) for r in runs)
    keys_RC = torch.zeros(len(runs), num_keys, dtype=torch.long)
    queries_RL = torch.zeros(len(runs), length, dtype=torch.long)
    mask_RLC = torch.zeros(len(runs), length, num_keys, dtype=torch.bool)
    mask_RLC[:, :, 0] = True  # of padding
    start, order = 0, list[Tensor]()
    for k, run in enumerate(runs):
        keys_RC[k, : len(run.keys)] = torch.from_numpy(run.keys)
        queries_RL[k, : run.length] = torch.arange(start, start + run.length)
        mask_RLC[k, : run.length, : len(run.keys)] = _sees(run)
        order.append(k * length + torch.arange(run.length))
        start += run.length
    order_T = torch.cat(order)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        query, key, value = (
            tensor[0][:, at].transpose(0, 1)
            for tensor, at in ((q, queries_RL), (k, keys_RC), (v, keys_RC))
        )
        out = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask_RLC[:, None], enable_gqa=True
        )
        return out.transpose(1, 2).flatten(0, 1)[order_T][None]

    return attend


def one_by_one(runs: Sequence[Run]) -> Attend:
    """A call for each run: no padding, and as many calls as runs."""
    masks = [_sees(run) for run in runs]
    keys = [torch.from_numpy(run.keys) for run in runs]

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found: list[Tensor] = []
        start = 0
        for run, at, mask in zip(runs, keys, masks, strict=True):
            query = q[:, :, start : start + run.length]
            found.append(
                F.scaled_dot_product_attention(
                    query, k[:, :, at], v[:, :, at], attn_mask=mask, enable_gqa=True
                )
            )
            start += run.length
        return torch.cat(found, 2).transpose(1, 2)

    return attend


def masked(runs: Sequence[Run]) -> Attend:
    """The whole row at once: every query against every key, most of them hidden."""
    size = sum(run.length for run in runs)
    mask_TT = torch.zeros(size, size, dtype=torch.bool)
    start = 0
    for run in runs:
        mask_TT[start : start + run.length, torch.from_numpy(run.keys)] = _sees(run)
        start += run.length
    return lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask_TT, enable_gqa=True
    ).transpose(1, 2)


def flex(runs: Sequence[Run]) -> Attend:
    """A row stands depth first, so a token is seen up to where its subtree ends."""
    size = sum(run.length for run in runs)
    end_T = torch.zeros(size, dtype=torch.long)
    start = 0
    for run in runs:
        end_T[torch.from_numpy(run.keys)] = start + run.length
        start += run.length

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < end_T[key])

    blocks = create_block_mask(sees, None, None, size, size, device="cpu")
    compiled: Any = torch.compile(flex_attention, dynamic=False)
    return lambda q, k, v: compiled(q, k, v, block_mask=blocks, enable_gqa=True).transpose(1, 2)


def _sees(run: Run) -> Tensor:
    """Which keys each query of a run sees: (L, C)."""
    context = len(run.keys) - run.length
    return torch.ones(run.length, len(run.keys), dtype=torch.bool).tril(context)


if __name__ == "__main__":
    try:
        main(tyro.cli(Attention, description=__doc__))
    except RungError as error:
        raise SystemExit(f"attention: {error}") from None
