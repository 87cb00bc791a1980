"""Trains PRMs and ORMs: labelled chains in, a checkpoint that scores out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rung.core.errors import RungError
from rung.core.progress import Silent
from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.model.checkpoint import new_reward_model, write_reward_model
from rung.model.reading import Reading
from rung.model.reward_model import RewardModel
from rung.train.batches import Batch
from rung.train.examples import Examples, label_source, reward_examples
from rung.train.folder import begin, claim, fingerprint, finish
from rung.train.loop import Task, run_loop
from rung.train.losses import STEP_LOSSES
from rung.train.settings import RewardTraining, TargetCounts, TrainingReport


def train_reward(
    settings: RewardTraining,
    train_records: Iterable[ChainRecord],
    validation_records: Iterable[ChainRecord],
    out: Path,
    progress: Progress | None = None,
) -> TrainingReport:
    """Train a PRM or an ORM into the folder `out`, or go on with the run there.

    With validation chains, the weights of the lowest validation loss are kept and the run stops
    when it no longer falls. A run that has ended is not run again.

    Raises:
        RungError: The trunk or the chains can't be used, or `out` holds something else.
    """
    progress = progress or Silent()
    train, validation = list(train_records), list(validation_records)
    run = fingerprint(settings, train, validation)
    if report := claim(out, run):
        progress.log(f"{out}: this run has ended before; nothing is left to do")
        return report
    source = label_source(settings, train)
    progress.start("opening the trunk")
    model, loaded = new_reward_model(settings.trunk, seed=settings.optimization.seed)
    freeze(model, settings.trainable)
    settings = replace(settings, max_tokens=within_context(settings.max_tokens, model.trunk))
    ours = reward_examples(settings, train, loaded.tokenizer, source)
    held_out = reward_examples(settings, validation, loaded.tokenizer, source)
    check_targets(ours.counts, "training", progress)
    if validation:
        check_targets(held_out.counts, "validation", progress)
        warn_of_overlap(train, validation, progress)
    begin(out, run)
    outcome = run_loop(
        _task(settings, model, ours, held_out),
        settings.optimization,
        out,
        progress,
    )
    reading = _reading(settings, source, loaded.name)
    return finish(
        out,
        outcome,
        ours.counts,
        held_out.counts if validation else None,
        lambda aside: write_reward_model(model, loaded.tokenizer, reading, aside),
    )


def within_context(max_tokens: int, model: Any) -> int:
    """`max_tokens`, or the positions that the model has, where these are fewer."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return min(max_tokens, positions or max_tokens)


def freeze(model: RewardModel, trainable: str) -> None:
    """Leave open what `trainable` names: "all", "head", or "last:K" layers, norm and head.

    Raises:
        RungError: It names nothing that the model has.
    """
    if trainable == "all":
        return
    model.trunk.requires_grad_(False)
    if trainable == "head":
        return
    layers = max(
        (m for m in model.trunk.modules() if isinstance(m, nn.ModuleList)), key=len, default=None
    )
    kind, _, count = trainable.partition(":")
    if kind != "last" or not count.isdigit() or layers is None or not 0 < int(count) <= len(layers):
        most = len(layers or ())
        raise RungError(f"trainable is all, head or last:1 to last:{most}, not {trainable!r}")
    for layer in layers[-int(count) :]:
        layer.requires_grad_(True)
    children = list(model.trunk.children())
    for behind in children[children.index(layers) + 1 :] if layers in children else ():
        behind.requires_grad_(True)


def check_targets(counts: TargetCounts, which: str, progress: Progress) -> None:
    """Say what became of the labels.

    Raises:
        RungError: Nothing is left to learn from.
    """
    lost = {
        "beyond the context": counts.truncated,
        "unlabeled": counts.unlabeled,
        "duplicate": counts.duplicate,
    }
    said = ", ".join(f"{number} {why}" for why, number in lost.items() if number)
    summary = f"{which}: {counts.targets} targets of {counts.places} steps"
    if not counts.targets:
        raise RungError(f"{summary}, so there is nothing to learn from ({said or 'no chains'})")
    progress.log(
        f"{summary} in {counts.chains_used} of {counts.chains} chains" + (said and f" ({said})")
    )


def warn_of_overlap(
    train: Iterable[ChainRecord], validation: Iterable[ChainRecord], progress: Progress
) -> None:
    """Say so when problems are on both sides: the validation loss then flatters."""
    ours = {record.chain.problem.root_id for record in train}
    shared = ours & {record.chain.problem.root_id for record in validation}
    if shared:
        progress.log(f"careful: {len(shared)} problems are in training and validation")


def _task(settings: RewardTraining, model: RewardModel, ours: Examples, held_out: Examples) -> Task:
    loss_of = STEP_LOSSES[settings.loss]

    def loss(batch: Batch) -> Tensor:
        return loss_of(model(batch.tree, batch.rows_K), batch.targets_K)

    return Task(
        name=f"the {settings.kind.upper()}",
        model=model,
        loss=loss,
        train=ours.examples,
        validation=held_out.examples,
        target_type=torch.float32,
    )


def _reading(settings: RewardTraining, source: str | None, trunk: str) -> Reading:
    return Reading(
        kind=settings.kind,
        question_separator=settings.question_separator,
        step_separator=settings.step_separator,
        max_tokens=settings.max_tokens,
        loss=settings.loss,
        label_source=source,
        trunk=trunk,
    )
