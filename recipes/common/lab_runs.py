"""Quickstart runs that several studies share: their policies, scorers and chains."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from rung.core import ChainRecord, Problem, Progress, RungError, Sampling, read_records
from rung.core.codec import encode_record
from rung.core.progress import Silent
from rung.core.resume import fingerprint_of, resumable_rows
from rung.data.lab import make_problems
from rung.generate import TransformersGenerator, problems_a_window, sample_windows
from rung.label import LabLabeler, with_outcomes
from rung.loop.policy import open_policy
from rung.loop.quickstart import WINDOW_CHAINS, Quickstart, run_quickstart
from rung.loop.side_by_side import Job, run_side_by_side
from rung.model import weights_hash
from rung.score import load_scorer
from rung.train import RewardTraining, train_reward

Records = Callable[[], Sequence[ChainRecord]]
"""Reads chains; it can be pickled, as `partial(run.records, "train")`."""
ROLLOUT_SEED = 3_000
"""Added to a run's seed for its rollouts, in every study, so that one study's log serves another.
"""


class Said(Silent):
    """The progress of a study: what is begun, a line each."""

    def start(self, what: str, total: int | None = None) -> None:
        """Say it."""
        print(what, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class LabRun:
    """A finished `rung quickstart`."""

    folder: Path
    settings: Quickstart

    @classmethod
    def of(cls, folder: Path) -> LabRun:
        """The run of a folder.

        Raises:
            RungError: It holds no finished run.
        """
        if not (folder / "results.json").is_file():
            raise RungError(f"{folder}: no finished 'rung quickstart --out {folder}' is there")
        told = json.loads((folder / "stages.json").read_text())["settings"]
        return cls(folder, msgspec.convert(told, Quickstart))

    @property
    def name(self) -> str:
        """Names what a study makes of it."""
        return f"seed-{self.settings.seed}"

    def records(self, split: str) -> list[ChainRecord]:
        """The chains of train, validation, test or scored."""
        return list(read_records(self.folder / f"{split}.jsonl.gz"))

    def policy(self) -> TransformersGenerator:
        """What wrote them."""
        return open_policy(self.folder / "policy")

    def test_problems(self) -> list[Problem]:
        """What its test chains are of: the first of its problems."""
        told = self.settings
        return list(make_problems(told.lab, told.test_problems, seed=told.seed))


def lab_runs(folders: Sequence[Path], out: Path, seeds: int, size: Quickstart) -> list[LabRun]:
    """The runs of the folders; without folders those of seeds 0, 1, ... are made in `out`.

    Raises:
        RungError: A folder holds no finished run, or two have one seed.
    """
    if not folders:
        folders = [out / f"quickstart-{seed}" for seed in range(seeds)]
        for seed, folder in enumerate(folders):
            if not (folder / "results.json").is_file():
                run_quickstart(replace(size, seed=seed), folder, Said())
    runs = [LabRun.of(folder) for folder in folders]
    if len({run.name for run in runs}) < len(runs):
        raise RungError("two of the quickstarts have the same seed")
    return runs


def at_once(jobs: Mapping[str, Job]) -> None:
    """Run jobs, each on one thread in a process of its own, as many at a time as there are cores.

    Raises:
        RungError: A job failed; the others are finished first.
    """
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        done = [
            pool.submit(run_side_by_side, name, {name: job}, Said()) for name, job in jobs.items()
        ]
    for job in done:
        job.result()


def sampling_job(run: LabRun, n: int, file: Path, *, seed: int) -> Job:
    """Writes `n` labeled chains for each test problem of a run."""
    return partial(_sample, run, n, file, seed)


def _sample(run: LabRun, n: int, file: Path, seed: int, progress: Progress) -> int:
    if file.exists():
        return 0
    made_from = fingerprint_of([], [weights_hash(run.folder / "policy"), n, seed])
    sampling = Sampling(max_tokens=run.settings.max_tokens, seed=seed)
    chunk = problems_a_window(n, WINDOW_CHAINS) * n
    with resumable_rows(file, made_from, progress, rows_a_chunk=chunk) as rows:
        left = run.test_problems()[rows.done // n :]
        for records in sample_windows(run.policy(), left, n, sampling, window_chains=WINDOW_CHAINS):
            rows.append(map(encode_record, labeled(records)))
    return len(left) * n


def labeled(records: Sequence[ChainRecord]) -> list[ChainRecord]:
    """The same chains with exact labels and outcomes."""
    lab = LabLabeler()
    labels = lab.label([record.chain for record in records])
    pairs = zip(records, labels, strict=True)
    return with_outcomes([record.with_labels(y) for record, y in pairs], lab)


def training_job(training: RewardTraining, train: Records, held_out: Records, out: Path) -> Job:
    """Trains a PRM or an ORM into `out`; what is finished there stays."""
    return partial(_train, training, train, held_out, out)


def _train(
    training: RewardTraining, train: Records, held_out: Records, out: Path, progress: Progress
) -> int:
    return train_reward(training, train(), held_out(), out, progress).tokens


def scored_by(records: Sequence[ChainRecord], scorers: Mapping[str, Path]) -> list[ChainRecord]:
    """The records with the scores of scorers in folders, each called by its name."""
    chains = [record.chain for record in records]
    for name, folder in scorers.items():
        scores = load_scorer(folder).score(chains)
        pairs = zip(records, scores, strict=True)
        records = [record.with_scores(replace(s, scorer=name)) for record, s in pairs]
    return list(records)
