"""The one training loop: PRM, ORM and policy differ only in their examples and their loss.

A run is a pure function of its examples and settings: killed anywhere and started again, it
goes on from the last saved state and ends with the same weights, bit by bit, on the same
machine with the same number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rung.core.errors import RungError
from rung.core.protocols import Progress
from rung.model.device import pick_device
from rung.train.batches import Bundle, bundles_of, plan_batches, plan_epoch
from rung.train.distributed import World, gather, spread, whole
from rung.train.examples import Example
from rung.train.settings import Optimization
from rung.train.state import Position, RunState, append_metrics, cut_metrics
from rung.train.trackers import Tracker

LOOKS_A_RUN = 10
SAVE_EVERY_S = 120.0


@dataclass(frozen=True, slots=True)
class Task:
    """What the loop trains."""

    name: str
    """Said on the progress bar."""
    model: nn.Module
    loss: Callable[[Sequence[Bundle], torch.device], Tensor]
    """The loss of bundles that are run together, summed over their targets."""
    train: Sequence[Example]
    validation: Sequence[Example]


class Outcome(NamedTuple):
    """How a run ended. The model holds the weights of `best_step`."""

    steps: int
    best_step: int
    best_loss: float | None
    is_stopped_early: bool
    tokens: int
    seconds: float
    training_s: float


def run_loop(
    task: Task,
    settings: Optimization,
    out: Path,
    progress: Progress,
    tracker: Tracker,
    world: World,
) -> Outcome:
    """Train `task.model` from where the run in `out` stands to its end.

    Raises:
        RungError: The loss is no number any more, or a step has fewer batches than processes.
    """
    if settings.accumulation < world.size:
        raise RungError(
            f"accumulation is {settings.accumulation}, expected at least {world.size}: each of the"
            f" {world.size} processes needs a forward pass in every step"
        )
    device = pick_device(settings.device)
    if settings.checkpointing:
        _recompute_activations(task.model)
    spread(task.model, world, device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        return _Run(task, settings, out, progress, tracker, device, world).to_the_end()


def learning_rate(step: int, num_steps: int, settings: Optimization) -> float:
    """The learning rate of step 0, 1, ..., num_steps - 1."""
    warmup = round(num_steps * settings.warmup_fraction)
    if step < warmup:
        return settings.lr * (step + 1) / (warmup + 1)
    if settings.schedule == "constant":
        return settings.lr
    done = (step - warmup) / max(1, num_steps - warmup)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * done))


class _Run:
    """A run in progress."""

    def __init__(
        self,
        task: Task,
        settings: Optimization,
        out: Path,
        progress: Progress,
        tracker: Tracker,
        device: torch.device,
        world: World,
    ) -> None:
        self._world = world
        self._task, self._settings, self._out = task, settings, out
        self._progress, self._tracker, self._device = progress, tracker, device
        self._bundles, self._held_out = (
            bundles_of(examples, batch_tokens=settings.batch_tokens, share=settings.share)
            for examples in (task.train, task.validation)
        )
        self._plan = plan_training(self._bundles, settings)
        everything = range(len(self._held_out))
        self._validation = plan_batches(everything, self._held_out, settings.batch_tokens)
        self._optimizer = _optimizer(task.model, settings)
        self._state = RunState(out, task.model, self._optimizer, world)
        self._position = self._state.restore(Position())
        self._clock_s = self._saved_s = time.monotonic()

    def to_the_end(self) -> Outcome:
        position, num_steps = self._position, len(self._plan)
        if self._world.leads:
            cut_metrics(self._out, position.step)
        if not position.is_over:
            at = f" from step {position.step}" if position.step else ""
            self._progress.start(f"training {self._task.name}{at}", num_steps - position.step)
        while not position.is_over:
            note = self._take_step(self._plan[position.step])
            if position.step % self._look_every() == 0 or position.step == num_steps:
                note = self._look() or note
            self._progress.advance(note=note)
            if self._is_time_to_save():
                self._save()
        if self._validation:
            self._state.load_best(position.best_step)
        gather(self._task.model)
        return Outcome(
            position.step,
            position.best_step if self._validation else position.step,
            position.best_loss,
            position.step < num_steps,
            position.tokens,
            position.seconds,
            position.training_s,
        )

    def _take_step(self, batches: list[list[int]]) -> str:
        position, model, began_s = self._position, self._task.model, time.monotonic()
        lr = learning_rate(position.step, len(self._plan), self._settings)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        model.train()
        targets = sum(self._bundles[i].num_targets for batch in batches for i in batch)
        total = 0.0
        for indices, counts in self._world.share(batches):
            loss = self._loss([self._bundles[i] for i in indices]) * counts
            (loss / targets).backward()
            total += loss.item()
        total = self._world.total(total)
        weights = [w for group in self._optimizer.param_groups for w in group["params"]]
        self._world.sum_gradients(weights)
        norm = whole(nn.utils.clip_grad_norm_(weights, self._settings.clip_norm)).item()
        if not (math.isfinite(total) and math.isfinite(norm)):
            at = f"step {position.step + 1}"
            raise RungError(f"the loss or its gradient is no number at {at}; try a lower lr")
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        position.training_s += time.monotonic() - began_s
        return self._note_step(batches, total / targets, targets, lr, norm)

    def _note_step(
        self, batches: list[list[int]], loss: float, targets: int, lr: float, norm: float
    ) -> str:
        position = self._position
        tokens = sum(self._bundles[i].num_tokens for batch in batches for i in batch)
        now_s = time.monotonic()
        took_s, self._clock_s = now_s - self._clock_s, now_s
        position.step += 1
        position.tokens += tokens
        position.seconds += took_s
        row = {"step": position.step, "loss": loss, "lr": lr, "gradient_norm": norm}
        row |= {"targets": targets, "tokens": tokens, "seconds": position.seconds}
        self._write(row)
        return f"loss {loss:.4f}, {position.tokens / position.training_s:.0f} tokens/s"

    def _write(self, row: dict[str, Any]) -> None:
        if not self._world.leads:
            return
        append_metrics(self._out, row)
        self._tracker.log(row, row["step"])

    def _look(self) -> str | None:
        """Measure the validation loss, keep the best weights, decide whether to go on."""
        position = self._position
        position.is_over = position.step == len(self._plan)
        if not self._validation:
            return None
        loss = self._validation_loss()
        self._write({"step": position.step, "validation_loss": loss})
        if position.best_loss is None or loss < position.best_loss:
            position.best_loss, position.best_step, position.worse_looks = loss, position.step, 0
            self._state.keep_best(position.step)
        else:
            position.worse_looks += 1
        if 0 < self._settings.patience <= position.worse_looks:
            position.is_over = True
        self._progress.log(f"step {position.step}: validation loss {loss:.4f}")
        return f"validation loss {loss:.4f}, best {position.best_loss:.4f}"

    @torch.no_grad()
    def _validation_loss(self) -> float:
        self._task.model.eval()
        ours = self._world.share(self._validation)
        losses = [self._loss([self._held_out[i] for i in ids]) * counts for ids, counts in ours]
        total = self._world.total(sum(loss.item() for loss in losses))
        return total / sum(bundle.num_targets for bundle in self._held_out)

    def _loss(self, bundles: Sequence[Bundle]) -> Tensor:
        is_bf16 = self._settings.precision == "bf16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=is_bf16):
            return self._task.loss(bundles, self._device)

    def _look_every(self) -> int:
        return self._settings.evaluate_every or math.ceil(len(self._plan) / LOOKS_A_RUN)

    def _is_time_to_save(self) -> bool:
        step, every = self._position.step, self._settings.save_every
        if self._position.is_over or (every and step % every == 0):
            return True
        is_long_ago = time.monotonic() - self._saved_s > SAVE_EVERY_S
        return every is None and self._world.agree(is_long_ago)

    def _save(self) -> None:
        self._position.seconds += time.monotonic() - self._clock_s
        self._clock_s = time.monotonic()
        self._state.save(self._position)
        self._saved_s = time.monotonic()


def plan_training(bundles: Sequence[Bundle], settings: Optimization) -> list[list[list[int]]]:
    """The run's optimizer steps: each is its batches, and a batch is indices into `bundles`.

    The order is random. Where labels stop at the first error, what is run of a chain tells by its
    length that its last label is wrong, so batches of equal lengths would be batches of equal
    labels (docs/lab.md has what that cost).
    """
    return [
        step
        for epoch in range(settings.epochs)
        for step in plan_epoch(
            bundles,
            batch_tokens=settings.batch_tokens,
            accumulation=settings.accumulation,
            seed=settings.seed,
            epoch=epoch,
        )
    ]


def _recompute_activations(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            # transformers 5 has a new name for it
            older: Any = module.gradient_checkpointing_enable
            getattr(module, "activation_checkpointing_enable", older)({"use_reentrant": False})
            return


def _optimizer(model: nn.Module, settings: Optimization) -> torch.optim.AdamW:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]
    # fused: 4 times faster than the plain loop on a CPU core
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, settings.beta2), fused=True)
