"""TRL's `PRMTrainer` as it is; only its batches are given to it where two curves are compared."""

from __future__ import annotations

import hashlib
import json
import tempfile
from typing import Any

import torch
from datasets import Dataset
from side import Clock, Job, serve, settings
from torch import nn
from torch.utils.data import DataLoader
from transformers import AutoModelForTokenClassification, AutoTokenizer, TrainerCallback
from trl.experimental.prm import PRMConfig, PRMTrainer

HEAD_SCALE = 0.02
"""Of rung's new head."""


class Watch(TrainerCallback):
    """Clocks the optimizer steps and keeps tokens and losses."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.losses: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Training begins."""
        self.clock.restart()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A step is over."""
        self.clock.stop()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """What the trainer says of a step."""
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))


class GivenOrder(PRMTrainer):
    """`PRMTrainer` on batches of given rows."""

    batches: list[list[int]]

    def get_train_dataloader(self) -> Any:
        """The given batches, in their order."""
        return DataLoader(
            self.train_dataset, batch_sampler=self.batches, collate_fn=self.data_collator
        )


def main() -> None:
    told = settings()
    torch.set_num_threads(told["threads"])
    tokenizer = AutoTokenizer.from_pretrained(told["model"])

    def do(job: Job) -> Job:
        model = AutoModelForTokenClassification.from_pretrained(
            told["model"], num_labels=2, dtype=torch.float32
        )
        _same_head(model.score)
        watch = Watch()
        with tempfile.TemporaryDirectory() as out:
            config = PRMConfig(
                output_dir=out,
                report_to=[],
                save_strategy="no",
                use_cpu=True,
                seed=0,
                logging_steps=1,
                disable_tqdm=True,
                **job["config"],
            )
            trainer = _trainer(model, tokenizer, config, job, watch)
            tokens = _count_tokens(model)
            trainer.train()
        dataset = trainer.train_dataset
        return {
            "seconds": watch.clock.seconds,
            "cpu_seconds": watch.clock.cpu_seconds,
            "tokens": tokens[0],
            "steps": trainer.state.global_step,
            "losses": watch.losses,
            "ids": hashlib.sha256(json.dumps(sorted(dataset["input_ids"][:])).encode()).hexdigest(),
        }

    serve(do)


def _trainer(model: Any, tokenizer: Any, config: Any, job: Job, watch: Watch) -> Any:
    shared = {
        "model": model,
        "args": config,
        "processing_class": tokenizer,
        "callbacks": [watch],
    }
    if job["order"] is None:
        rows = [row | {"prompt": row["prompt"] + "\n"} for row in job["rows"]]
        return PRMTrainer(train_dataset=Dataset.from_list(rows), **shared)
    flat = [row for step in job["order"] for row in step]
    trainer = GivenOrder(train_dataset=Dataset.from_list(flat), **shared)
    starts = [sum(map(len, job["order"][:k])) for k in range(len(job["order"]))]
    trainer.batches = [
        list(range(start, start + len(step)))
        for start, step in zip(starts, job["order"], strict=True)
    ]
    return trainer


def _same_head(head: nn.Linear) -> None:
    """The weights that rung's new head has."""
    fresh = torch.empty(head.weight.shape)
    nn.init.normal_(fresh, std=HEAD_SCALE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        head.weight.copy_(fresh)
        if head.bias is not None:
            head.bias.zero_()


def _count_tokens(model: nn.Module) -> list[int]:
    """Tokens that go through the model, padding included; filled while it trains."""
    count = [0]

    def add(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        count[0] += kwargs["input_ids"].numel()

    model.register_forward_pre_hook(add, with_kwargs=True)
    return count


main()
