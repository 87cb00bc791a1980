"""PRMs of the lab that learned from a verifier and from rollouts, on chains of several lengths."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "label-sources"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "rollout-labels"))

from lab_runs import ROLLOUT_SEED, LabRun, at_once, scored_by, training_job
from sources import HARD, SOFT, TRUTH, rolled_out
from wordy import said_twice

from rung.core import ChainRecord, Progress, Sampling, read_records, write_records
from rung.core.resume import fingerprint_of
from rung.label import LabLabeler, RolloutLog, RolloutSource
from rung.loop.side_by_side import Job
from rung.model import weights_hash
from rung.train import RewardTraining

SOURCES = {TRUTH: "verifier", HARD: "rollouts-hard", SOFT: "rollouts-soft"}
"""What the PRMs learn from, and what they are called."""


@dataclass(frozen=True, slots=True)
class LabStudy:
    """Its sizes, and where it works."""

    out: Path
    chains: int
    """That every PRM learns from."""
    epochs: int

    def folder(self, run: LabRun) -> Path:
        """Where all of a run lies."""
        return self.out / f"{run.name}-{self.chains}-{self.epochs}"

    def train(self, run: LabRun) -> list[ChainRecord]:
        """A run's training chains with the labels of every source, some steps said twice."""
        return list(read_records(self.folder(run) / "train.jsonl.gz"))

    def scored(self, run: LabRun) -> list[ChainRecord]:
        """Its test chains, some steps said twice, with the scores of every PRM."""
        return list(read_records(self.folder(run) / "scored.jsonl.gz"))

    def training(self, run: LabRun, source: str) -> Job:
        """Trains the PRM of a source; no chains are held out, so the last weights count."""
        how = replace(run.settings.prm, epochs=self.epochs, seed=run.settings.seed)
        training = RewardTraining(
            kind="prm", trunk=run.folder / "policy", label_source=source, optimization=how
        )
        out = self.folder(run) / SOURCES[source]
        return training_job(training, partial(self.train, run), list, out)


def make(study: LabStudy, runs: Sequence[LabRun]) -> None:
    """Label, train and score; what is there stays."""
    at_once({f"{run.name}: label": partial(_label, study, run) for run in runs})
    at_once(
        {
            f"{run.name}: PRM from {source}": study.training(run, source)
            for run in runs
            for source in SOURCES
        }
    )
    at_once({f"{run.name}: score": partial(_score, study, run) for run in runs})


def _label(study: LabStudy, run: LabRun, progress: Progress) -> int:
    file, folder = study.folder(run) / "train.jsonl.gz", study.folder(run)
    if file.exists():
        return 0
    records = run.records("train")[: study.chains]
    seed = ROLLOUT_SEED + run.settings.seed
    made_by = fingerprint_of([], [weights_hash(run.folder / "policy"), seed])
    with RolloutLog.open(folder / "rollouts.jsonl", made_by) as log:
        sampling = Sampling(max_tokens=run.settings.max_tokens, seed=seed)
        labeled, tokens = rolled_out(
            records, RolloutSource(run.policy(), LabLabeler(), sampling, log)
        )
    write_records(file, said_twice(labeled, run.settings.seed))
    return sum(tokens.values())


def _score(study: LabStudy, run: LabRun, progress: Progress) -> int:
    file = study.folder(run) / "scored.jsonl.gz"
    if not file.exists():
        test = said_twice(run.records("test"), run.settings.seed)
        scorers = {name: study.folder(run) / name for name in SOURCES.values()}
        write_records(file, scored_by(test, scorers))
    return 0
