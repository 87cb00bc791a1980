"""Trains PRMs and ORMs: labelled chains in, a checkpoint that scores out."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.label.noise import Noise
from rung.model.checkpoint import new_reward_model, write_reward_model
from rung.model.device import pick_device
from rung.model.reading import Reading
from rung.model.reward_model import RewardModel
from rung.train.batches import Bundle, collate, targets_of
from rung.train.card import write_card
from rung.train.examples import Example, Examples, label_source, reward_examples
from rung.train.frozen import trunk_features
from rung.train.loop import Task
from rung.train.losses import constant_loss, forward_corrected, step_loss
from rung.train.run import Run, take_up, within_context
from rung.train.settings import RewardTraining, TrainingReport
from rung.train.trackers import TrackerName
from rung.train.trainable import open_weights


def train_reward(
    settings: RewardTraining,
    train_records: Iterable[ChainRecord],
    validation_records: Iterable[ChainRecord],
    out: Path,
    progress: Progress | None = None,
    tracker: TrackerName = "none",
) -> TrainingReport:
    """Train a PRM or an ORM into the folder `out`, or go on with the run there.

    With validation chains, the weights of the lowest validation loss are kept and the run stops
    when it no longer falls. A run that has ended is not run again.

    Raises:
        RungError: The trunk or the chains can't be used, or `out` holds something else.
    """
    run = take_up(settings, train_records, validation_records, out, progress, tracker)
    if not isinstance(run, Run):
        return run
    source = label_source(settings, run.train)
    method, seed = settings.method, settings.optimization.seed
    model, loaded = new_reward_model(
        settings.trunk,
        seed=seed,
        head=method.head,
        label_words=method.words,
        trust_pickle=settings.trust_pickle,
    )
    close_weights = open_weights(model, method, seed)
    settings = replace(settings, max_tokens=within_context(settings.max_tokens, model.trunk))
    ours = reward_examples(settings, run.train, loaded.tokenizer, source)
    held_out = reward_examples(settings, run.validation, loaded.tokenizer, source)
    run.begin(ours, held_out)
    outcome = run.loop(_task(settings, model, ours, held_out, run), settings.optimization)
    close_weights()
    reading = _reading(settings, source, loaded.name)
    return run.finish(
        outcome,
        ours,
        held_out,
        lambda aside: write_reward_model(model, loaded.tokenizer, reading, aside),
        lambda aside, report: write_card(aside, run.name, settings, reading, report),
        _constant_loss(settings, held_out.examples or ours.examples),
    )


def _task(
    settings: RewardTraining,
    model: RewardModel,
    ours: Examples,
    held_out: Examples,
    run: Run,
) -> Task:
    judge = step_loss(settings.method)
    examples = [*ours.examples, *held_out.examples]
    known = _known_features(settings, model, examples, run)

    def loss(bundles: Sequence[Bundle], device: torch.device) -> Tensor:
        if known is None:
            batch = collate(bundles, target_type=torch.float32, device=device)
            logits, targets_K, chains_K = model(batch.tree, batch.rows_K), *batch[2:]
        else:
            features = [known[id(e)] for bundle in bundles for e in bundle.examples]
            logits = model.logits(torch.cat(features).to(device))
            targets_K, chains_K = targets_of(bundles, torch.float32, device)
        if settings.noise is None:
            return judge(logits, targets_K, chains_K)
        return forward_corrected(logits, targets_K, _confusion(settings.noise, bundles, device))

    return Task(
        name=f"the {settings.kind.upper()}",
        model=model,
        loss=loss,
        train=ours.examples,
        validation=held_out.examples,
    )


def _constant_loss(settings: RewardTraining, examples: Sequence[Example]) -> float | None:
    if settings.noise is not None:
        return None
    return constant_loss(settings.method, [y for example in examples for y in example.targets])


def _confusion(noise: Noise, bundles: Sequence[Bundle], device: torch.device) -> Tensor:
    """P(says right | wrong) and P(says right | right) of the source at each target: (K, 2)."""
    rates = [(one.says_right_of_wrong, one.says_right_of_right) for one in noise]
    firsts = [one.first for one in noise]
    examples = (example for bundle in bundles for example in bundle.examples)
    rows = [rates[bisect(firsts, at) - 1] for example in examples for at in example.positions]
    return torch.tensor(rows, device=device)


def _known_features(
    settings: RewardTraining, model: RewardModel, examples: Sequence[Example], run: Run
) -> Mapping[int, Tensor] | None:
    """What a frozen trunk says at each example's targets, by the example's `id`."""
    if settings.method.trainable != "head":
        return None
    device = pick_device(settings.optimization.device)
    optimization = settings.optimization
    with run.world.first():
        features = trunk_features(
            model.trunk, examples, optimization, device, run.out, run.progress
        )
    return {id(example): found for example, found in zip(examples, features, strict=True)}


def _reading(settings: RewardTraining, source: str | None, trunk: str) -> Reading:
    return Reading(
        kind=settings.kind,
        head=settings.method.head,
        label_words=settings.method.words,
        question_separator=settings.question_separator,
        step_separator=settings.step_separator,
        max_tokens=settings.max_tokens,
        loss=settings.method.step_loss,
        label_source=source,
        trunk=trunk,
    )
