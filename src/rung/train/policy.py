"""Trains policies: next-token prediction on the steps of chains, over the same loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.model.tree_attention import use_tree_attention
from rung.model.trunk import load_causal_lm, quiet_transformers
from rung.train.batches import Bundle, collate
from rung.train.examples import policy_examples
from rung.train.loop import Task
from rung.train.losses import token_cross_entropy
from rung.train.run import Run, take_up, within_context
from rung.train.settings import PolicyTraining, TrainingReport
from rung.train.trackers import TrackerName
from rung.train.trainable import freeze, open_causal_lm


def train_policy(
    settings: PolicyTraining,
    train_records: Iterable[ChainRecord],
    validation_records: Iterable[ChainRecord],
    out: Path,
    progress: Progress | None = None,
    tracker: TrackerName = "none",
) -> TrainingReport:
    """Train a policy into `out`, an ordinary Hugging Face causal LM folder.

    Every token of the steps and the end of the chain is learned, the question is not. Resuming
    and early stopping are as in `rung.train.train_reward`.

    Raises:
        RungError: The trunk or the chains can't be used, or `out` holds something else.
    """
    run = take_up(settings, train_records, validation_records, out, progress, tracker)
    if not isinstance(run, Run):
        return run
    model, tokenizer, _ = load_causal_lm(settings.trunk, trust_pickle=settings.trust_pickle)
    use_tree_attention(model)
    freeze(model.base_model, settings.trainable)
    close_weights = open_causal_lm(model, settings.lora, settings.optimization.seed)
    settings = replace(settings, max_tokens=within_context(settings.max_tokens, model))
    ours = policy_examples(settings, run.train, tokenizer)
    held_out = policy_examples(settings, run.validation, tokenizer)
    run.begin(ours, held_out)
    task = Task(
        name="the policy",
        model=model,
        loss=lambda bundles, device: _loss(model, bundles, device),
        train=ours.examples,
        validation=held_out.examples,
    )
    outcome = run.loop(task, settings.optimization)
    close_weights()
    return run.finish(outcome, ours, held_out, lambda aside: _save(model, tokenizer, aside))


def _loss(model: Any, bundles: Sequence[Bundle], device: torch.device) -> Tensor:
    batch = collate(bundles, target_type=torch.int64, device=device)
    # the question's tokens teach nothing, and a row of SmolLM2's logits costs as much as 8 layers
    logits_KV = model(**batch.tree.inputs, logits_to_keep=batch.rows_K).logits[0]
    return token_cross_entropy(logits_KV.float(), batch.targets_K)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
