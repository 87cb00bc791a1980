"""Does `torch.compile` pay? rung's training and scoring steps with and without it, on one core.

Attention on token trees has shapes of its own in every batch, so it stays eager; what is compiled,
with dynamic shapes, is the rest of each decoder layer (norms and MLP), or all of the trunk around
the attention.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from common import SHARED_DATA, Spread, conditions, publish, table
from rows import independent, several_a_question

from rung.core import RungError
from rung.data import trl
from rung.model import new_reward_model
from rung.model import tree_attention as trees
from rung.train.batches import Batch, bundles_of, collate, plan_batches
from rung.train.examples import reward_examples
from rung.train.losses import step_loss
from rung.train.settings import Method, RewardTraining

Compiled = Literal["nothing", "norms and MLPs", "trunk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileRun:
    """The defaults make the numbers in README.md."""

    data: Path = SHARED_DATA
    """The folder of the real data."""
    trunk: str = "smollm2"
    """A folder, a GGUF file, or "smollm2" for the one on PyPI."""
    compiled: tuple[Compiled, ...] = ("nothing", "norms and MLPs")
    """What is compiled, in turn. All of the trunk around the attention takes far longer."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 is autocast."""
    batch_tokens: int = 512
    """Of a batch."""
    batches: int = 2
    """Different batches of a round."""
    rounds: int = 2
    """After a first one that compiles."""
    publish: bool = False
    """Put the table into README.md beside this file."""


def main(run: CompileRun) -> None:
    torch.set_num_threads(1)
    method = Method(head="2-class")
    judge = step_loss(method)
    model, loaded = new_reward_model(run.trunk, seed=0, head="2-class")
    batches = _batches(run, loaded.tokenizer)
    eager = dict(_forwards(model))
    rows: list[list[str]] = []
    for what in run.compiled:
        torch.compiler.reset()
        for module, forward in eager.items():
            module.forward = forward
        _compile(model, what)

        def score(batch: Batch) -> None:
            with torch.inference_mode(), _autocast(run):
                model(batch.tree, batch.rows_K)

        def train(batch: Batch) -> None:
            with _autocast(run):
                loss = judge(model(batch.tree, batch.rows_K), batch.targets_K, batch.chains_K)
            loss.backward()
            model.zero_grad(set_to_none=True)

        rows += [
            [what, name, *_timed(run, step, batches)]
            for name, step in (("scoring", score), ("training", train))
        ]
        print(rows[-2:], file=sys.stderr, flush=True)
    head = ["compiled", "step", "first round, s", "then, s of processor a round", "tokens a second"]
    tokens = sum(len(batch.tree.ids_T) for batch in batches)
    told = {"precision": run.precision, "threads": 1, "rounds": run.rounds, "tokens": tokens}
    text = f"{table(head, rows)}\n\n{conditions(told)}"
    print(text)
    if run.publish:
        publish("compiled", text)


def _forwards(model: Any) -> list[tuple[Any, Any]]:
    return [(m, m.forward) for m in (model.trunk, *model.trunk.modules())]


def _compile(model: Any, what: Compiled) -> None:
    trees.AttentionInterface.register(
        trees.NAME,
        trees.tree_attention if what == "nothing" else torch.compiler.disable(trees.tree_attention),
    )
    if what == "trunk":
        model.trunk.forward = torch.compile(model.trunk.forward, dynamic=True)
    elif what == "norms and MLPs":
        for layer in model.trunk.layers:
            for part in (layer.mlp, layer.input_layernorm, layer.post_attention_layernorm):
                part.forward = torch.compile(part.forward, dynamic=True)


def _autocast(run: CompileRun) -> Any:
    return torch.autocast("cpu", torch.bfloat16, enabled=run.precision == "bf16")


def _batches(run: CompileRun, tokenizer: Any) -> list[Batch]:
    """Batches of unrelated chains, and of trees: 8 chains a question."""
    how = RewardTraining(kind="prm", trunk=run.trunk, method=Method(head="2-class"))
    chains = [*independent(4 * run.batches, run.data), *several_a_question(1, run.data)]
    records = [trl.read(row) for row in chains]
    examples = reward_examples(how, records, tokenizer, "trl").examples
    bundles = bundles_of(examples, batch_tokens=run.batch_tokens, share=True)
    plan = plan_batches(range(len(bundles)), bundles, run.batch_tokens)[: run.batches]
    return [
        collate([bundles[k] for k in batch], target_type=torch.float32, device=torch.device("cpu"))
        for batch in plan
    ]


def _timed(run: CompileRun, step: Callable[[Batch], None], batches: Sequence[Batch]) -> list[str]:
    began_s = time.perf_counter()
    for batch in batches:
        step(batch)
    first_s = time.perf_counter() - began_s
    took: list[float] = []
    for _ in range(run.rounds):
        began_s = time.process_time()
        for batch in batches:
            step(batch)
        took.append(time.process_time() - began_s)
    tokens = sum(len(batch.tree.ids_T) for batch in batches)
    speed = Spread.of([tokens / seconds for seconds in took])
    return [f"{first_s:.1f}", Spread.of(took).shown(), speed.shown(0)]


if __name__ == "__main__":
    try:
        main(tyro.cli(CompileRun, description=__doc__))
    except RungError as error:
        raise SystemExit(f"compiled: {error}") from None
