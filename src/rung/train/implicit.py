"""Trains implicit PRMs: outcomes of chains in, a causal LM whose log ratios score steps out.

A chain's reward is ``coefficient * log(policy / reference)`` over the tokens of its steps, where
the reference is the model as it was. Trained on outcomes, the same sum up to a step's end values
that step (arXiv 2412.01981); no step needs a label.

Shape letters: B chains, K tokens that are predicted, U distinct rows that predict them, V
vocabulary.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rung.core.errors import RungError
from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.model.device import pick_device
from rung.model.implicit import REFERENCE, ImplicitReading, save_implicit_reading
from rung.model.tree_attention import use_tree_attention
from rung.model.trunk import load_causal_lm, quiet_transformers
from rung.train.batches import Bundle, bundles_of, collate, plan_batches
from rung.train.card import write_implicit_card
from rung.train.examples import Example, implicit_examples
from rung.train.frozen import SHARD_BATCHES, kept
from rung.train.loop import Task
from rung.train.losses import implicit_cross_entropy, implicit_preference
from rung.train.run import Run, take_up, within_context
from rung.train.settings import ImplicitTraining, Optimization, TrainingReport
from rung.train.trackers import TrackerName
from rung.train.trainable import open_causal_lm


def train_implicit(
    settings: ImplicitTraining,
    train_records: Iterable[ChainRecord],
    validation_records: Iterable[ChainRecord],
    out: Path,
    progress: Progress | None = None,
    tracker: TrackerName = "none",
) -> TrainingReport:
    """Train an implicit PRM into `out`, a causal LM folder with its reference in it.

    Resuming and early stopping are as in `rung.train.train_reward`.

    Raises:
        RungError: The trunk or the chains can't be used, or `out` holds something else.
    """
    run = take_up(settings, train_records, validation_records, out, progress, tracker)
    if not isinstance(run, Run):
        return run
    model, tokenizer, name = load_causal_lm(settings.trunk, trust_pickle=settings.trust_pickle)
    use_tree_attention(model)
    close_weights = open_causal_lm(model, settings.lora, settings.optimization.seed)
    settings = replace(settings, max_tokens=within_context(settings.max_tokens, model))
    is_dpo = settings.loss == "dpo"
    ours = implicit_examples(settings, run.train, tokenizer, pairs=is_dpo)
    held_out = implicit_examples(settings, run.validation, tokenizer, pairs=is_dpo)
    if is_dpo and ours.examples:
        _check_pairs(ours.examples, settings.optimization, run.progress)
    run.begin(ours, held_out)
    everything = [*ours.examples, *held_out.examples]
    reference = _reference(model, everything, settings.optimization, run)
    task = Task(
        name="the implicit PRM",
        model=model,
        loss=_loss(settings, model, reference),
        train=ours.examples,
        validation=held_out.examples,
    )
    outcome = run.loop(task, settings.optimization)
    close_weights()
    return run.finish(
        outcome,
        ours,
        held_out,
        lambda aside: _save(settings, model, tokenizer, name, aside, out),
        lambda aside, report: write_implicit_card(aside, run.name, settings, name, report),
    )


def _loss(
    settings: ImplicitTraining, model: Any, reference: Mapping[int, Tensor]
) -> Callable[[Sequence[Bundle], torch.device], Tensor]:
    beta = settings.coefficient

    def loss(bundles: Sequence[Bundle], device: torch.device) -> Tensor:
        examples = [example for bundle in bundles for example in bundle.examples]
        logprobs_K, outcomes_B, chains_K = _logprobs(model, bundles, device)
        known_K = torch.cat([reference[id(example)] for example in examples]).to(device)
        ratios_K = logprobs_K - known_K
        if settings.loss == "ce":
            return implicit_cross_entropy(ratios_K, chains_K, outcomes_B, coefficient=beta)
        questions_B = torch.tensor(in_order([e.question for e in examples]), device=device)
        return implicit_preference(ratios_K, chains_K, outcomes_B, questions_B, coefficient=beta)

    return loss


def in_order(names: Sequence[str]) -> list[int]:
    """A number for each name, by first appearance, so that a sum has one order in every process."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(name, len(numbers)) for name in names]


def _logprobs(
    model: Any, bundles: Sequence[Bundle], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities (K,) of the steps' tokens, outcomes (B,), and the tokens' chains (K,)."""
    batch = collate(bundles, target_type=torch.float32, device=device)
    examples = [example for bundle in bundles for example in bundle.examples]
    next_K = torch.tensor([e.ids[at + 1] for e in examples for at in e.reads], device=device)
    # the question's tokens need no logits; what several chains begin with needs them once
    rows_U, place_K = batch.rows_K.unique(return_inverse=True)
    logits_UV = model(**batch.tree.inputs, logits_to_keep=rows_U).logits[0].float()
    logprobs_K = logits_UV[place_K, next_K] - logits_UV.logsumexp(-1)[place_K]
    return logprobs_K, batch.targets_K, batch.chains_K


def _reference(
    model: Any, examples: Sequence[Example], settings: Optimization, run: Run
) -> Mapping[int, Tensor]:
    """What the model says before it is trained: log-probabilities by the example's `id`.

    New adapters add 0, so they may be there already.
    """
    device = pick_device(settings.device)
    model.eval().to(device)
    size = settings.batch_tokens
    bundles = bundles_of(examples, batch_tokens=size, share=settings.share)
    batches = plan_batches(range(len(bundles)), bundles, size)
    shards = [batches[at : at + SHARD_BATCHES] for at in range(0, len(batches), SHARD_BATCHES)]

    @torch.no_grad()
    def compute(shard: int) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            told = [
                _logprobs(model, [bundles[i] for i in batch], device) for batch in shards[shard]
            ]
        return torch.cat([logprobs_K for logprobs_K, _, _ in told])

    run.progress.start("reading the chains as they are now", len(shards))
    with run.world.first():
        found_K = torch.cat(kept(run.out, "reference", len(shards), compute, run.progress))
    order = [example for bundle in bundles for example in bundle.examples]
    parts = found_K.split([len(example.reads) for example in order])
    return {id(example): part for example, part in zip(order, parts, strict=True)}


def _check_pairs(examples: Sequence[Example], settings: Optimization, progress: Progress) -> None:
    """Say how many chains stand in batches where nothing is to be compared with them."""
    bundles = bundles_of(examples, batch_tokens=settings.batch_tokens, share=True)
    alone = sum(len(b.examples) for b in bundles if len({e.targets for e in b.examples}) < 2)
    if alone == len(examples):
        raise RungError("no two chains of a problem fit one batch; raise --batch-tokens")
    if alone:
        progress.log(
            f"careful: {alone} of {len(examples)} chains find no chain of the other outcome in"
            " their batch; with more --batch-tokens they do"
        )


def _save(
    settings: ImplicitTraining, model: Any, tokenizer: Any, name: str, folder: Path, out: Path
) -> None:
    shutil.rmtree(out / REFERENCE, ignore_errors=True)  # of a run killed while it was put in place
    reference, _, _ = load_causal_lm(settings.trunk, trust_pickle=settings.trust_pickle)
    with quiet_transformers():
        model.save_pretrained(folder)
        reference.save_pretrained(folder / REFERENCE)
        for place in (folder, folder / REFERENCE):
            tokenizer.save_pretrained(place)
    reading = ImplicitReading(
        question_separator=settings.question_separator,
        step_separator=settings.step_separator,
        max_tokens=settings.max_tokens,
        coefficient=settings.coefficient,
        loss=settings.loss,
        trunk=name,
    )
    save_implicit_reading(reading, folder)
