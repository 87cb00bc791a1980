"""Trains policies: next-token prediction on the steps of chains, over the same loop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rung.core.progress import Silent
from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.model.tree_attention import use_tree_attention
from rung.model.trunk import load_causal_lm, quiet_transformers
from rung.train.batches import Batch
from rung.train.examples import policy_examples
from rung.train.folder import begin, claim, fingerprint, finish
from rung.train.loop import Task, run_loop
from rung.train.losses import token_cross_entropy
from rung.train.reward import check_targets, warn_of_overlap, within_context
from rung.train.settings import PolicyTraining, TrainingReport


def train_policy(
    settings: PolicyTraining,
    train_records: Iterable[ChainRecord],
    validation_records: Iterable[ChainRecord],
    out: Path,
    progress: Progress | None = None,
) -> TrainingReport:
    """Train a policy into `out`, an ordinary Hugging Face causal LM folder.

    Every token of the steps and the end of the chain is learned, the question is not. Resuming
    and early stopping are as in `rung.train.train_reward`.

    Raises:
        RungError: The trunk or the chains can't be used, or `out` holds something else.
    """
    progress = progress or Silent()
    train, validation = list(train_records), list(validation_records)
    run = fingerprint(settings, train, validation)
    if report := claim(out, run):
        progress.log(f"{out}: this run has ended before; nothing is left to do")
        return report
    progress.start("opening the trunk")
    model, tokenizer, _ = load_causal_lm(settings.trunk)
    use_tree_attention(model)
    settings = replace(settings, max_tokens=within_context(settings.max_tokens, model))
    ours = policy_examples(settings, train, tokenizer)
    held_out = policy_examples(settings, validation, tokenizer)
    check_targets(ours.counts, "training", progress)
    if validation:
        check_targets(held_out.counts, "validation", progress)
        warn_of_overlap(train, validation, progress)
    begin(out, run)
    task = Task(
        name="the policy",
        model=model,
        loss=lambda batch: _loss(model, batch),
        train=ours.examples,
        validation=held_out.examples,
        target_type=torch.int64,
    )
    outcome = run_loop(task, settings.optimization, out, progress)
    return finish(
        out,
        outcome,
        ours.counts,
        held_out.counts if validation else None,
        lambda aside: _save(model, tokenizer, aside),
    )


def _loss(model: Any, batch: Batch) -> Tensor:
    logits_TV = model(**batch.tree.inputs).logits[0]
    return token_cross_entropy(logits_TV[batch.rows_K].float(), batch.targets_K)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
