"""The trainings of the study: from which chains, with how much work, and their scores.

Everything here can be pickled, for the processes of `lab_runs.at_once`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
from lab_runs import LabRun, Records, training_job

from rung.core import ChainRecord, Progress, StepScores
from rung.core.files import replacing
from rung.label import next_to_label
from rung.label.next import First
from rung.loop.side_by_side import Job
from rung.score import load_scorer
from rung.train import Optimization, RewardTraining

KINDS = ("prm", "orm")
RANDOM = "random"
"""More chains, drawn by chance."""
CHOSEN: tuple[First, ...] = ("doubt", "convincing")
"""More chains, chosen by a PRM."""
FEWEST_EPOCHS = 3
PATIENCE = 3
"""Of ten looks at held-out chains: three in a row without a better loss end the training."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One PRM or ORM, and what it learned from."""

    run: LabRun
    kind: Literal["prm", "orm"]
    name: str
    """Of the chains: their number, or how more were found, and how many there were before."""
    chains: Records
    num_chains: int
    out: Path

    @property
    def folder(self) -> Path:
        """Where it lies: the quickstart's own, where it learned from all chains."""
        return self.out / self.scorer if self.is_trained_here else self.run.folder / self.kind

    @property
    def scorer(self) -> str:
        """What its scores are called."""
        return f"{self.kind}-{self.name}"

    @property
    def is_trained_here(self) -> bool:
        """Whether the quickstart has not trained it already."""
        settings = self.run.settings
        return self.num_chains < settings.train_problems * settings.train_chains

    def job(self, read: int) -> Job:
        """Trains it, over at least so many chains read."""
        training = RewardTraining(
            kind=self.kind,
            trunk=self.run.folder / "policy",
            optimization=optimization(self.run, self.kind, self.num_chains, read),
        )
        return training_job(
            training, self.chains, partial(self.run.records, "validation"), self.folder
        )


def optimization(run: LabRun, kind: Literal["prm", "orm"], chains: int, read: int) -> Optimization:
    """The quickstart's, with as many epochs as make `read` chains; the same for PRM and ORM."""
    epochs = max(FEWEST_EPOCHS, math.ceil(read / chains))
    settings = run.settings
    ours = settings.prm if kind == "prm" else settings.orm
    return replace(ours, epochs=epochs, patience=PATIENCE, seed=settings.seed)


def first(run: LabRun, count: int) -> list[ChainRecord]:
    """So many chains, those of the first problems."""
    return run.records("train")[:count]


def with_more(run: LabRun, count: int, places: Path) -> list[ChainRecord]:
    """The first chains and those of the others whose places a file holds."""
    chains = run.records("train")
    chosen = msgspec.json.decode(places.read_bytes(), type=list[int])
    return [*chains[:count], *(chains[k] for k in chosen)]


def choosing_job(run: LabRun, count: int, scorer: Path, places: Mapping[First, Path]) -> Job:
    """Writes which `count` chains behind the first `count` to label, by what a PRM says of them."""
    return partial(_choose, run, count, scorer, places)


def _choose(
    run: LabRun, count: int, scorer: Path, places: Mapping[First, Path], progress: Progress
) -> int:
    if all(file.exists() for file in places.values()):
        return 0
    others = run.records("train")[count:]
    scores = load_scorer(scorer).score([record.chain for record in others])
    scored = [
        replace(record, labels=(), scores=(found,))
        for record, found in zip(others, scores, strict=True)
    ]
    for arm, file in places.items():
        choices = next_to_label(scored, count, first=arm)
        write_places([count + choice.index for choice in choices], file)
    return 0


def draw(run: LabRun, count: int, places: Path) -> None:
    """Write as many places drawn at random."""
    settings = run.settings
    others = range(count, settings.train_problems * settings.train_chains)
    write_places(random.Random(f"more {settings.seed}").sample(others, count), places)


def write_places(places: list[int], file: Path) -> None:
    """As JSON, in one piece."""
    with replacing(file) as aside:
        aside.write_bytes(msgspec.json.encode(places))


def scoring_job(run: LabRun, scorers: Mapping[str, Path], out: Path) -> Job:
    """Writes what each scorer says of a run's test chains, a file for each in `out`."""
    return partial(_score, run, scorers, out)


def _score(run: LabRun, scorers: Mapping[str, Path], out: Path, progress: Progress) -> int:
    chains = [record.chain for record in run.records("test")]
    for name, folder in scorers.items():
        file = out / f"{name}.json"
        if not file.exists():
            scores = load_scorer(folder).score(chains)
            with replacing(file) as aside:
                aside.write_bytes(msgspec.json.encode(scores))
    return 0


def read_scores(file: Path, scorer: str) -> list[StepScores]:
    """What a scorer said, under another name."""
    found = msgspec.json.decode(file.read_bytes(), type=list[StepScores])
    return [replace(scores, scorer=scorer) for scores in found]
