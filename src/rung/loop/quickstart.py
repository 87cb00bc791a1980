"""The whole loop on the lab's problems: from nothing to a PRM, an ORM and a report.

Everything is a function of the settings: two runs with one seed give the same numbers, on one
machine with one number of threads. A run that is stopped goes on from its last finished stage,
and inside sampling and training from where it was. ``docs/lab.md`` says how the settings were
chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rung.core import ChainRecord, Problem, Progress, Sampling, read_records, write_records
from rung.core.codec import encode_record
from rung.core.files import replacing
from rung.core.progress import Silent
from rung.core.resume import fingerprint_of, resumable_rows
from rung.data.lab import Lab, demonstrations, make_demonstrator, make_problems
from rung.eval import (
    BestOfN,
    ReportData,
    StepMetrics,
    best_of_n,
    choose_examples,
    step_metrics,
    write_report,
)
from rung.generate import problems_a_window, sample_windows
from rung.label import LabLabeler, with_outcomes
from rung.loop.side_by_side import Job, run_side_by_side
from rung.loop.stages import Stages
from rung.score import score_windows
from rung.train import Optimization, PolicyTraining, RewardTraining, TrainingReport

if TYPE_CHECKING:
    from rung.generate import TransformersGenerator

WINDOW_CHAINS = 2048
RESULTS, REPORT = "results.json", "report.html"
RULE = "min"
SAMPLE, TRAIN = "sample and label chains", "train the PRM and the ORM"
SETTING = (
    "Made word problems whose every step is checked exactly. A small policy learned from chains "
    "with systematic errors; the PRM and the ORM learned from the same chains of that policy, "
    "both from its weights, both kept as they were best on held-out problems."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quickstart:
    """The loop's sizes; the defaults are the vetted ones."""

    seed: int = 0
    lab: Lab = field(default_factory=Lab)
    num_demonstrations: int = 24_000
    train_problems: int = 10_000
    train_chains: int = 2
    """Chains a problem that the PRM and the ORM learn from."""
    validation_problems: int = 400
    test_problems: int = 200
    test_chains: int = 64
    """N."""
    width: int = 64
    num_layers: int = 2
    policy: Optimization = field(
        default_factory=lambda: Optimization(
            lr=3e-3, beta2=0.98, batch_tokens=2048, evaluate_every=300
        )
    )
    prm: Optimization = field(
        default_factory=lambda: Optimization(
            lr=1.4e-3, beta2=0.98, epochs=4, batch_tokens=1100, patience=0
        )
    )
    orm: Optimization = field(
        default_factory=lambda: Optimization(
            lr=7e-4, beta2=0.98, epochs=4, batch_tokens=1400, patience=0
        )
    )

    @property
    def max_tokens(self) -> int:
        """Room for a chain: a right one takes 9 tokens a step."""
        return 12 * (self.lab.num_steps + 1)


@dataclass(frozen=True, slots=True)
class QuickstartResult:
    """What came out, and where it lies."""

    results: dict[str, Any]
    """What stands in results.json."""
    best_of_n: BestOfN
    report: Path
    results_path: Path


def run_quickstart(
    settings: Quickstart, out: Path, progress: Progress | None = None
) -> QuickstartResult:
    """Run the loop into the folder `out`, or go on with the run there.

    Raises:
        RungError: `out` holds something else.
    """
    run = _Run(settings, out, progress or Silent(), Stages.open(out, settings))
    stages = run.stages
    stages.run("make problems", run.make_problems)
    stages.run("train the policy", run.train_policy)
    stages.run(SAMPLE, run.sample_all)
    stages.run(TRAIN, run.train_both)
    stages.run("score", run.score)
    return run.evaluate()


@dataclass(frozen=True, slots=True)
class _Run:
    """The stages. Each reads the files of those before it, and gives the tokens it took."""

    settings: Quickstart
    out: Path
    progress: Progress
    stages: Stages

    def make_problems(self) -> None:
        """Write the demonstrator's chains, and the model that will learn from them."""
        from rung.model.tiny import make_tiny

        settings, seed = self.settings, self.settings.seed
        self.progress.start("make problems")
        demonstrator = make_demonstrator(settings.lab, seed=seed)
        chains = demonstrations(demonstrator, self._problems("demonstrations"), seed=seed)
        records = [ChainRecord(chain) for chain in chains]
        write_records(self._chains("demonstrations"), records)
        texts = (text for r in records for text in (r.chain.problem.question, *r.chain.texts))
        make_tiny(
            self.out / "tiny",
            texts,
            seed=seed,
            width=settings.width,
            num_layers=settings.num_layers,
            max_tokens=512,
        )

    def train_policy(self) -> int:
        """Teach the policy what the demonstrator does, errors and all."""
        from rung.train import train_policy

        optimization = replace(self.settings.policy, seed=self.settings.seed)
        training = PolicyTraining(trunk=self.out / "tiny", optimization=optimization)
        records = list(read_records(self._chains("demonstrations")))
        held_out = min(300, len(records) // 10)
        report = train_policy(
            training, records[held_out:], records[:held_out], self.out / "policy", self.progress
        )
        return report.tokens

    def sample_all(self) -> int:
        """Sample and label every split."""
        splits = {"training": ("train",), "validation and test": ("validation", "test")}
        jobs = {name: self._job(_sample, *parts) for name, parts in splits.items()}
        return run_side_by_side(SAMPLE, jobs, self.progress)

    def sample(self, split: str) -> int:
        """Let the policy write chains for a split's problems; label every step and outcome."""
        n = self.settings.test_chains if split == "test" else self.settings.train_chains
        sampling = Sampling(max_tokens=self.settings.max_tokens, seed=self.settings.seed)
        problems = list(self._problems(split))
        path, window = self._chains(split), problems_a_window(n, WINDOW_CHAINS)
        made_from = fingerprint_of([], [self.stages.settings, split])
        chunk = window * n
        with resumable_rows(path, made_from, self.progress, rows_a_chunk=chunk) as rows:
            self.progress.start(f"sample and label {split} chains", len(problems) * n)
            self.progress.advance(rows.done)
            left = islice(problems, rows.done // n, None)
            generator = self._generator()
            for records in sample_windows(
                generator, left, n, sampling, window_chains=WINDOW_CHAINS
            ):
                rows.append(map(encode_record, _labeled(records)))
                self.progress.advance(len(records))
        return sum(_num_tokens(record) for record in read_records(path))

    def train_both(self) -> int:
        """Train the PRM and the ORM."""
        jobs = {kind.upper(): self._job(_train_reward, kind) for kind in ("prm", "orm")}
        return run_side_by_side(TRAIN, jobs, self.progress)

    def train_reward(self, kind: Any) -> int:
        """Train the PRM or the ORM on the policy's chains, from the policy's weights."""
        from rung.train import train_reward

        optimization: Optimization = getattr(self.settings, kind)
        training = RewardTraining(
            kind=kind,
            trunk=self.out / "policy",
            optimization=replace(optimization, seed=self.settings.seed),
        )
        report: TrainingReport = train_reward(
            training,
            read_records(self._chains("train")),
            read_records(self._chains("validation")),
            self.out / kind,
            self.progress,
        )
        return report.tokens

    def score(self) -> int:
        """Score the test chains with both."""
        from rung.score import load_scorer

        scorers = [load_scorer(self.out / kind) for kind in ("prm", "orm")]
        records = list(read_records(self._chains("test")))
        self.progress.start("score with the PRM and the ORM", len(records))
        scored: list[ChainRecord] = []
        for window in score_windows(records, scorers, window=WINDOW_CHAINS):
            scored += window
            self.progress.advance(len(window))
        write_records(self._chains("scored"), scored)
        return 2 * sum(_num_tokens(record) for record in records)

    def evaluate(self) -> QuickstartResult:
        """Rerank, and write what came out."""
        self.progress.start("measure and write the report")
        records = list(read_records(self._chains("scored")))
        found = best_of_n(records, prm="prm", orm="orm", seed=self.settings.seed)
        steps = step_metrics(records, scorer="prm", seed=self.settings.seed)
        results = self._results(found, steps)
        with replacing(self.out / RESULTS) as aside:
            aside.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
        write_report(self.out / REPORT, self._report(records, found, steps))
        return QuickstartResult(results, found, self.out / REPORT, self.out / RESULTS)

    def _results(self, found: BestOfN, steps: StepMetrics) -> dict[str, Any]:
        seconds = sum(stage.seconds for stage in self.stages.done)
        return {
            "curves": msgspec.to_builtins(found.curves),
            "gaps": msgspec.to_builtins(found.gaps),
            "pass_at_1": found.pass_at_1,
            "step_auroc": msgspec.to_builtins(steps.auroc),
            "seconds": round(seconds, 1),
            "seed": self.settings.seed,
            "num_problems": found.num_problems,
            "stages": msgspec.to_builtins(self.stages.done),
            "settings": self.stages.settings,
        }

    def _report(
        self, records: Sequence[ChainRecord], found: BestOfN, steps: StepMetrics
    ) -> ReportData:
        seed = self.settings.seed
        return ReportData(
            best_of_n=found,
            calibration=steps.calibration,
            examples=choose_examples(records, seed=seed),
            stages=self.stages.done,
            command=f"rung quickstart --seed {seed}",
            seed=seed,
            settings=self.stages.settings,
            rule=RULE,
            step_auroc=steps.auroc,
            setting=SETTING,
        )

    def _job(self, work: Callable[..., int], *told: str) -> Job:
        return partial(_in_process, self.settings, self.out, work, told)

    def _problems(self, split: str) -> Iterator[Problem]:
        """A split's problems; no question stands in two splits."""
        settings = self.settings
        counts = {
            "test": settings.test_problems,
            "validation": settings.validation_problems,
            "train": settings.train_problems,
            "demonstrations": settings.num_demonstrations,
        }
        start = sum(list(counts.values())[: list(counts).index(split)])
        end = start + counts[split]
        return islice(make_problems(settings.lab, end, seed=settings.seed), start, end)

    def _chains(self, name: str) -> Path:
        return self.out / f"{name}.jsonl.gz"

    def _generator(self) -> TransformersGenerator:
        from rung.loop.policy import open_policy

        return open_policy(self.out / "policy")


def _in_process(
    settings: Quickstart,
    out: Path,
    work: Callable[..., int],
    told: Sequence[str],
    progress: Progress,
) -> int:
    return work(_Run(settings, out, progress, Stages.open(out, settings)), *told)


def _sample(run: _Run, *splits: str) -> int:
    return sum(run.sample(split) for split in splits)


def _train_reward(run: _Run, kind: str) -> int:
    return run.train_reward(kind)


def _labeled(records: Sequence[ChainRecord]) -> list[ChainRecord]:
    lab = LabLabeler()
    labels = lab.label([record.chain for record in records])
    labeled = [record.with_labels(y) for record, y in zip(records, labels, strict=True)]
    return with_outcomes(labeled, lab)


def _num_tokens(record: ChainRecord) -> int:
    source = record.chain.source
    return 0 if source is None else source.num_tokens or 0
