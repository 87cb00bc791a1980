"""Trains PRMs and ORMs: labelled chains in, a checkpoint that scores out."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rung.core.errors import RungError
from rung.core.progress import Silent
from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.label.noise import Noise
from rung.model.checkpoint import new_reward_model, write_reward_model
from rung.model.reading import Reading
from rung.model.reward_model import RewardModel
from rung.train.batches import Bundle, collate, targets_of
from rung.train.card import write_card
from rung.train.distributed import World, join_world
from rung.train.examples import Example, Examples, label_source, reward_examples
from rung.train.folder import begin, claim, fingerprint, finish, run_id
from rung.train.frozen import trunk_features
from rung.train.loop import Task, pick_device, run_loop
from rung.train.losses import forward_corrected, step_loss
from rung.train.settings import RewardTraining, TargetCounts, TrainingReport
from rung.train.trackers import TrackerName, load_tracker, tracked
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
    world = join_world(settings.optimization.strategy)
    progress = (world.leads and progress) or Silent()
    tracking = load_tracker(tracker if world.leads else "none")
    train, validation = list(train_records), list(validation_records)
    run = fingerprint(settings, train, validation)
    if report := claim(out, run):
        progress.log(f"{out}: this run has ended before; nothing is left to do")
        return report
    source = label_source(settings, train)
    progress.start("opening the trunk")
    method, seed = settings.method, settings.optimization.seed
    model, loaded = new_reward_model(
        settings.trunk, seed=seed, head=method.head, label_words=method.words
    )
    close_weights = open_weights(model, method, seed)
    settings = replace(settings, max_tokens=within_context(settings.max_tokens, model.trunk))
    ours = reward_examples(settings, train, loaded.tokenizer, source)
    held_out = reward_examples(settings, validation, loaded.tokenizer, source)
    check_targets(ours.counts, "training", progress)
    if validation:
        check_targets(held_out.counts, "validation", progress)
        warn_of_overlap(train, validation, progress)
    begin(out, run, world)
    task = _task(settings, model, ours, held_out, out, progress, world)
    with tracked(tracking, out.resolve().name, run_id(run), run):
        outcome = run_loop(task, settings.optimization, out, progress, tracking, world)
    close_weights()
    reading = _reading(settings, source, loaded.name)
    name = out.resolve().name
    return finish(
        out,
        outcome,
        ours.counts,
        held_out.counts if validation else None,
        world,
        lambda aside: write_reward_model(model, loaded.tokenizer, reading, aside),
        lambda aside, report: write_card(aside, name, settings, reading, report),
    )


def within_context(max_tokens: int, model: Any) -> int:
    """`max_tokens`, or the positions that the model has, where these are fewer."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return min(max_tokens, positions or max_tokens)


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


def _task(
    settings: RewardTraining,
    model: RewardModel,
    ours: Examples,
    held_out: Examples,
    out: Path,
    progress: Progress,
    world: World,
) -> Task:
    judge = step_loss(settings.method)
    examples = [*ours.examples, *held_out.examples]
    known = _known_features(settings, model, examples, out, progress, world)

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


def _confusion(noise: Noise, bundles: Sequence[Bundle], device: torch.device) -> Tensor:
    """P(says right | wrong) and P(says right | right) of the source at each target: (K, 2)."""
    rates = [(one.says_right_of_wrong, one.says_right_of_right) for one in noise]
    firsts = [one.first for one in noise]
    examples = (example for bundle in bundles for example in bundle.examples)
    rows = [rates[bisect(firsts, at) - 1] for example in examples for at in example.positions]
    return torch.tensor(rows, device=device)


def _known_features(
    settings: RewardTraining,
    model: RewardModel,
    examples: Sequence[Example],
    out: Path,
    progress: Progress,
    world: World,
) -> Mapping[int, Tensor] | None:
    """What a frozen trunk says at each example's targets, by the example's `id`."""
    if settings.method.trainable != "head":
        return None
    device = pick_device(settings.optimization.device)
    if not world.leads:  # the leading process writes what the others then read
        world.wait()
    features = trunk_features(model.trunk, examples, settings.optimization, device, out, progress)
    if world.leads:
        world.wait()
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
