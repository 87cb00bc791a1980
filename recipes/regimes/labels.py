"""The PRM's lead by what labeled its steps; the ORM learns outcomes of the same chains."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "label-sources"))

from judges import MadeJudge
from lab_runs import ROLLOUT_SEED, LabRun, at_once, scored_by, training_job
from lengths import lead

from rung.core import ChainRecord, Progress, Sampling, StepLabels, read_records, write_records
from rung.core.resume import fingerprint_of
from rung.label import (
    LabLabeler,
    RolloutLabels,
    RolloutLog,
    RolloutRule,
    RolloutSource,
    label_by_rollouts,
)
from rung.loop.side_by_side import Job
from rung.model import weights_hash
from rung.train import RewardTraining

TRUTH, ROLLOUTS = "lab", "rollouts"
JUDGES = {f"judge-{percent}": percent / 100 for percent in (10, 20, 30)}
"""Of each, P(says wrong | right) and P(says right | wrong)."""
SOURCES = (TRUTH, *JUDGES, ROLLOUTS)
ROLLOUT_RULE = RolloutRule(k=16)


@dataclass(frozen=True, slots=True)
class LabelStudy:
    """Its sizes, and where it works."""

    out: Path
    chains: int
    """That every model learns from."""
    epochs: int

    def folder(self, run: LabRun, name: str) -> Path:
        """Where something of a run lies."""
        return self.out / f"{run.name}-{self.chains}" / name

    def labeled(self, run: LabRun, split: str) -> list[ChainRecord]:
        """A run's chains with the labels of every source."""
        return list(read_records(self.folder(run, f"{split}.jsonl.gz")))

    def training(self, run: LabRun, source: str | None) -> Job:
        """Trains the PRM of a source, or, without one, the ORM."""
        kind = "orm" if source is None else "prm"
        settings = run.settings.orm if source is None else run.settings.prm
        training = RewardTraining(
            kind=kind,
            trunk=run.folder / "policy",
            label_source=source,
            optimization=replace(settings, epochs=self.epochs, seed=run.settings.seed),
        )
        chains = [partial(self.labeled, run, split) for split in ("train", "validation")]
        return training_job(training, *chains, self.folder(run, source or kind))


def by_labels(study: LabelStudy, runs: Sequence[LabRun]) -> list[dict[str, Any]]:
    """A row for each source of labels."""
    at_once({f"{run.name}: label": partial(_label, study, run) for run in runs})
    at_once(
        {
            f"{run.name}: {source or 'orm'}": study.training(run, source)
            for run in runs
            for source in (None, *SOURCES)
        }
    )
    tests = [scored_by(run.records("test"), {"orm": study.folder(run, "orm")}) for run in runs]
    rows: list[dict[str, Any]] = []
    for source in SOURCES:
        scored = [
            scored_by(test, {"prm": study.folder(run, source)})
            for run, test in zip(runs, tests, strict=True)
        ]
        train = [record for run in runs for record in study.labeled(run, "train")]
        rows.append({"labels": source, "wrong_labels": wrong_share(train, source), **lead(scored)})
    return rows


def _label(study: LabelStudy, run: LabRun, progress: Progress) -> int:
    """Write a run's chains with the labels of every source; what is written stays."""
    for split in ("train", "validation"):
        file = study.folder(run, f"{split}.jsonl.gz")
        if not file.exists():
            records = run.records(split)[: study.chains]
            write_records(file, _rolled_out(_judged(records), study, run, split))
    return 0


def _judged(records: Sequence[ChainRecord]) -> list[ChainRecord]:
    for name, error in JUDGES.items():
        judge = MadeJudge(name, missed=error, false_alarms=error)
        labels = judge.label([record.chain for record in records])
        records = [r.with_labels(y) for r, y in zip(records, labels, strict=True)]
    return list(records)


def _rolled_out(
    records: Sequence[ChainRecord], study: LabelStudy, run: LabRun, split: str
) -> list[ChainRecord]:
    """The records with hard labels by rollouts of the policy that wrote them."""
    chains, outcomes = [r.chain for r in records], [r.outcome for r in records]
    machine = RolloutLabels.start(chains, outcomes, ROLLOUT_RULE)
    seed = ROLLOUT_SEED + run.settings.seed
    made_by = fingerprint_of([], [weights_hash(run.folder / "policy"), seed])
    with RolloutLog.open(study.folder(run, f"{split}-rollouts.jsonl"), made_by) as log:
        sampling = Sampling(max_tokens=run.settings.max_tokens, seed=seed)
        label_by_rollouts(machine, RolloutSource(run.policy(), LabLabeler(), sampling, log))
    pairs = zip(records, machine.result(), strict=True)
    return [r.with_labels(StepLabels(y.labels, ROLLOUTS)) for r, y in pairs]


def wrong_share(records: Sequence[ChainRecord], source: str) -> float:
    """Of the labels on steps that the truth judges, the share that differs from it."""
    pairs = [
        (said, true)
        for record in records
        if (given := record.labels_from(source)) and (truth := record.labels_from(TRUTH))
        for said, true in zip(given.labels, truth.labels, strict=True)
        if said is not None and true is not None
    ]
    return sum(said != true for said, true in pairs) / len(pairs)
