"""`rung report`: one HTML page from a run's own folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import tyro

from rung.cli.eval_input import check_resamples
from rung.cli.output import JsonFlag, Output
from rung.core.codec import read_records
from rung.core.errors import InputError, RungError, UnknownFormatError
from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.data import merge_records
from rung.score.cost import read_costs

if TYPE_CHECKING:
    from rung.eval import Losses, Rewards, RunReport, Stage, VariantChange

CHAIN_FILES = ("*.jsonl", "*.jsonl.gz", "*.jsonl.zst", "*.parquet")
METRICS = "metrics.jsonl"
STAGES = "stages.json"
PAGE = "run.html"


class _Found(NamedTuple):
    """What the folder holds: scored chains, and scored variants of chains."""

    files: list[str]
    records: list[ChainRecord]
    variants: list[ChainRecord]


@dataclass(frozen=True, slots=True)
class ReportCommand:
    """One HTML page from a run's folder: curves, tables, calibration, robustness, losses, cost.

    It takes the files of scored chains in the folder (of 'rung score'; picked chains, probes and
    whatever else lies there are passed over), scored variants of 'rung eval robustness', the costs
    beside them, stages.json, and metrics.jsonl of trainings and of 'rung rl' in the folder and one
    below. Chains, variants or a training are enough. The page loads nothing from elsewhere.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """The run's folder."""
    out: Path | None = None
    """The page; without it run.html in the folder."""
    prm: str | None = None
    """The PRM that is drawn and taken apart, where several scorers read every step."""
    orm: str | None = None
    """The ORM that is drawn, where several score only the last step."""
    label_source: str | None = None
    """Whose labels; without it the only ones there are."""
    rule: str = "min"
    """The aggregation with which PRMs pick among chains."""
    resamples: int | None = None
    """Bootstrap resamples of the problems; without it each measure's own number."""
    seed: int = 0
    """Of the resamples, of subsets and of the examples."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Read, measure, write."""
        from rung.core import AGGREGATIONS
        from rung.eval import robustness, write_run_report

        if self.rule not in AGGREGATIONS:
            raise RungError(f"there is no rule {self.rule!r}, only {', '.join(AGGREGATIONS)}")
        if self.resamples is not None:
            check_resamples(self.resamples)
        if not self.folder.is_dir():
            raise InputError("there is no such folder", file=str(self.folder))
        found = _read(self.folder, out.progress)
        stages, losses = _stages(self.folder), _losses(self.folder)
        if not (found.files or found.variants or losses):
            reason = "there are no scored chains here ('rung score' makes them), and no training"
            raise InputError(reason, file=str(self.folder))
        out.progress.start("measure")
        changes = robustness(found.variants, seed=self.seed) if found.variants else []
        report = self._measure(found, stages, losses, changes)
        page = self.out or self.folder / PAGE
        write_run_report(page, report)
        result = {"page": str(page), "files": found.files, "chains": len(found.records)}
        out.result(
            result,
            lambda console: console.print(f"{_said(found, losses)}: see {page}", soft_wrap=True),
        )

    def _measure(
        self,
        found: _Found,
        stages: list[Stage],
        losses: list[Losses | Rewards],
        changes: list[VariantChange],
    ) -> RunReport:
        from rung.eval import measure_run

        return measure_run(
            found.records,
            name=self.folder.resolve().name,
            files=found.files,
            prm=self.prm,
            orm=self.orm,
            label_source=self.label_source,
            rule=self.rule,
            costs=read_costs(str(self.folder / name) for name in found.files),
            robustness=changes,
            losses=losses,
            stages=stages,
            command=self._command(),
            resamples=self.resamples,
            seed=self.seed,
        )

    def _command(self) -> str:
        words = ["rung", "report", str(self.folder)]
        for option in ("prm", "orm", "label_source", "resamples"):
            if (value := getattr(self, option)) is not None:
                words += [f"--{option.replace('_', '-')}", str(value)]
        return shlex.join([*words, "--rule", self.rule, "--seed", str(self.seed)])


def _read(folder: Path, progress: Progress) -> _Found:
    """The scored chains of all files in the folder, perhaps none.

    Raises:
        InputError: A file of chains can't be read.
    """
    files: dict[str, list[ChainRecord]] = {}
    variants: list[ChainRecord] = []
    for path in sorted(chain.from_iterable(folder.glob(pattern) for pattern in CHAIN_FILES)):
        progress.start(f"read {path.name}")
        kind = _kind(path)
        if kind == "variants":
            variants += read_records(path)
        elif kind == "scored":
            files[path.name] = list(read_records(path))
        progress.advance()
    return _Found(list(files), merge_records(list(files.values())), variants)


def _kind(path: Path) -> str:
    """What a file's first row is: scored chains, scored variants, or neither."""
    from rung.data import format_of

    try:
        if path.name == METRICS or format_of(path).name != "rung":
            return "other"
    except UnknownFormatError:
        return "other"
    first = next(read_records(path))
    if not first.scores or {"rerank", "probe"} & first.meta.keys():
        return "other"
    return "variants" if "variant" in first.meta else "scored"


def _said(found: _Found, losses: Sequence[Losses | Rewards]) -> str:
    trained = f"training of {', '.join(one.name for one in losses)}"
    chains = f"{len(found.records)} chains of {', '.join(found.files)}"
    return chains if found.files else trained if losses else f"{len(found.variants)} variants"


def _stages(folder: Path) -> list[Stage]:
    from rung.eval import Stage

    path = folder / STAGES
    if not path.is_file():
        return []
    try:
        return msgspec.convert(msgspec.json.decode(path.read_bytes())["stages"], list[Stage])
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError) as error:
        raise InputError(f"this is no list of stages ({error})", file=str(path)) from error


def _losses(folder: Path) -> list[Losses | Rewards]:
    from rung.eval import losses_of, rewards_of

    found: list[Losses | Rewards] = []
    for path in sorted([*folder.glob(METRICS), *folder.glob(f"*/{METRICS}")]):
        try:
            rows = [msgspec.json.decode(line) for line in path.read_bytes().splitlines() if line]
        except msgspec.DecodeError as error:
            raise InputError(f"this is not JSON ({error})", file=str(path)) from error
        name = path.parent.resolve().name
        if (training := rewards_of(name, rows) or losses_of(name, rows)) is not None:
            found.append(training)
    return found


COMMAND = ReportCommand
