"""rung's side of `train.py`: `rung train prm`, with the time of its optimizer steps."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from floor import product_flops
from side import Clock, Job, serve, settings

from rung.core import ChainRecord
from rung.data import trl
from rung.model.trunk import load_tokenizer
from rung.train.batches import bundles_of
from rung.train.examples import Examples, reward_examples
from rung.train.loop import plan_training
from rung.train.reward import train_reward
from rung.train.settings import Method, Optimization, RewardTraining


class Watch:
    """A `Progress` that clocks the optimizer steps: the loop says when one is over."""

    def __init__(self) -> None:
        self.clock = Clock()

    def start(self, what: str, total: int | None = None) -> None:
        """A new stage; the last one that starts is the training."""
        self.clock.restart()

    def advance(self, units: int = 1, note: str = "") -> None:
        """A step is over."""
        self.clock.stop()

    def log(self, message: str) -> None:
        """Said to nobody."""


def main() -> None:
    told = settings()
    torch.set_num_threads(told["threads"])
    tokenizer = load_tokenizer(Path(told["model"]))

    def do(job: Job) -> Job:
        if "is_floor" in job:
            return product_flops({"fp32": torch.float32, "bf16": torch.bfloat16}[job["precision"]])
        records = [trl.read(row) for row in job["rows"]]
        how = RewardTraining(
            kind="prm",
            trunk=told["model"],
            method=Method(head="2-class"),
            optimization=Optimization(**job["optimization"]),
        )
        examples = reward_examples(how, records, tokenizer, "trl")
        plain = [reward_examples(how, [r], tokenizer, "trl").examples[0].ids for r in records]
        return _train(how, records) | {
            "ids": hashlib.sha256(json.dumps(sorted(plain)).encode()).hexdigest(),
            "order": _order(how, examples) if job["tells_order"] else None,
        }

    serve(do)


def _train(how: RewardTraining, records: list[ChainRecord]) -> Job:
    watch = Watch()
    with tempfile.TemporaryDirectory() as out:
        report = train_reward(how, records, [], Path(out) / "prm", watch)
        metrics = (Path(out) / "prm" / "metrics.jsonl").read_text().splitlines()
    return {
        "seconds": watch.clock.seconds,
        "cpu_seconds": watch.clock.cpu_seconds,
        "tokens": report.tokens,
        "targets": report.train.targets,
        "steps": report.steps,
        "losses": [row["loss"] for row in map(json.loads, metrics) if "loss" in row],
    }


def _order(how: RewardTraining, examples: Examples) -> list[list[Any]]:
    """Ids and labels of each optimizer step's chains, as TRL takes them (-100: no label)."""
    optimization = how.optimization
    bundles = bundles_of(
        examples.examples, batch_tokens=optimization.batch_tokens, share=optimization.share
    )
    return [
        [
            {"input_ids": list(e.ids), "labels": _labels(e)}
            for batch in step
            for index in batch
            for e in bundles[index].examples
        ]
        for step in plan_training(bundles, optimization)
    ]


def _labels(example: Any) -> list[int]:
    labels = [-100] * len(example.ids)
    for at, target in zip(example.reads, example.targets, strict=True):
        labels[at] = int(target)
    return labels


main()
