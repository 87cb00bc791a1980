"""What every kind of training does around its loop: a run is begun or taken up, and ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rung.core.errors import RungError
from rung.core.progress import Silent
from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.train.distributed import World, join_world, launch_notes
from rung.train.examples import Examples
from rung.train.folder import Fingerprint, begin, claim, fingerprint, finish, run_id
from rung.train.loop import Outcome, Task, run_loop
from rung.train.settings import (
    ImplicitTraining,
    Optimization,
    Places,
    PolicyTraining,
    RewardTraining,
    TargetCounts,
    TrainingReport,
)
from rung.train.trackers import Tracker, TrackerName, load_tracker, tracked

LEARNED_NOTHING = (
    "it does not tell right from wrong yet: to score all alike would lose {:.4f}, and it loses no"
    " less; more steps (epochs, chains, smaller batches) or another learning rate may help"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run in its folder, with the chains it learns from."""

    out: Path
    world: World
    progress: Progress
    tracker: Tracker
    train: Sequence[ChainRecord]
    validation: Sequence[ChainRecord]
    places: Places
    """What targets are counted in."""
    fingerprint: Fingerprint

    @property
    def name(self) -> str:
        """The folder's."""
        return self.out.resolve().name

    def begin(self, ours: Examples, held_out: Examples) -> None:
        """Say what became of the labels, and write down whose run it is.

        Raises:
            RungError: Nothing is left to learn from.
        """
        _check_targets(ours.counts, "training", self.places, self.progress)
        if self.validation:
            _check_targets(held_out.counts, "validation", self.places, self.progress)
            _warn_of_overlap(self.train, self.validation, self.progress)
        begin(self.out, self.fingerprint, self.world)

    def loop(self, task: Task, optimization: Optimization) -> Outcome:
        """Train."""
        with tracked(self.tracker, self.name, run_id(self.fingerprint), self.fingerprint):
            return run_loop(task, optimization, self.out, self.progress, self.tracker, self.world)

    def finish(
        self,
        outcome: Outcome,
        ours: Examples,
        held_out: Examples,
        write_weights: Callable[[Path], None],
        write_card: Callable[[Path, TrainingReport], None] | None = None,
        constant_loss: float | None = None,
    ) -> TrainingReport:
        """Put the checkpoint, its card and the report into the folder."""
        validation = held_out.counts if self.validation else None
        counts, written = (ours.counts, validation), (write_weights, write_card, constant_loss)
        report = finish(self.out, outcome, *counts, self.world, *written)
        if report.tells_targets_apart is False:
            self.progress.log(LEARNED_NOTHING.format(report.constant_loss))
        return report


def take_up(
    settings: RewardTraining | ImplicitTraining | PolicyTraining,
    train_records: Iterable[ChainRecord],
    validation_records: Iterable[ChainRecord],
    out: Path,
    progress: Progress | None,
    tracker: TrackerName,
) -> Run | TrainingReport:
    """A run that is to be begun or gone on with; the report of one that has ended.

    Raises:
        RungError: The trunk is not there, `out` holds something else, or a launcher asks for what
            rung can't do.
    """
    world = join_world(settings.optimization.strategy)
    told = (world.leads and progress) or Silent()
    tracking = load_tracker(tracker if world.leads else "none")
    train, validation = list(train_records), list(validation_records)
    wanted = fingerprint(settings, train, validation)
    if report := claim(out, wanted, TrainingReport):
        told.log(f"{out}: this run has ended before; nothing is left to do")
        return report
    for note in launch_notes(world, settings.optimization.precision, os.environ):
        told.log(note)
    told.start("opening the trunk")
    return Run(
        out=out,
        world=world,
        progress=told,
        tracker=tracking,
        train=train,
        validation=validation,
        places=settings.places,
        fingerprint=wanted,
    )


def within_context(max_tokens: int, model: Any) -> int:
    """`max_tokens`, or the positions that the model has, where these are fewer."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return min(max_tokens, positions or max_tokens)


def _check_targets(counts: TargetCounts, which: str, places: Places, progress: Progress) -> None:
    lost = {
        "beyond the context": counts.truncated,
        "unlabeled": counts.unlabeled,
        "duplicate": counts.duplicate,
    }
    said = ", ".join(f"{number} {why}" for why, number in lost.items() if number)
    summary = f"{which}: {counts.targets} targets of {counts.places} {places}"
    if not counts.targets:
        raise RungError(f"{summary}, so there is nothing to learn from ({said or 'no chains'})")
    progress.log(
        f"{summary} in {counts.chains_used} of {counts.chains} chains" + (said and f" ({said})")
    )


def _warn_of_overlap(
    train: Iterable[ChainRecord], validation: Iterable[ChainRecord], progress: Progress
) -> None:
    """Say so when problems are on both sides: the validation loss then flatters."""
    ours = {record.chain.problem.root_id for record in train}
    shared = ours & {record.chain.problem.root_id for record in validation}
    if shared:
        progress.log(f"careful: {len(shared)} problems are in training and validation")
