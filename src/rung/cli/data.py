"""`rung data`: list formats, convert, count and split chains."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from rung.cli.data_view import show_formats, show_stats
from rung.cli.inputs import Files, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.core.codec import Skipped, encode_problem, encode_record, write_problems
from rung.core.errors import InputError, RungError
from rung.core.files import STDIN
from rung.core.protocols import Progress
from rung.core.types import ChainRecord, Problem
from rung.core.urls import exists
from rung.data import (
    FORMATS,
    Neutral,
    Split,
    Stats,
    count,
    format_of,
    join_scores,
    load_problems,
    problem_keys,
    split_by_problem,
    without_problems,
    write,
)
from rung.data.loading import encoded, open_source
from rung.data.rows import Choices
from rung.data.stats import ProblemStats, count_problems

T = TypeVar("T", ChainRecord, Problem)
Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
Sources = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="[SOURCE ...]", help_behavior_hint=""),
]


@dataclass(frozen=True, slots=True)
class Ls:
    """List the formats, or say which format files have."""

    sources: Sources = ()
    """Files, folders or Hugging Face datasets; without any, all formats are listed."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Print the table."""
        if self.sources:
            found = {source: format_of(source).name for source in self.sources}
            lines = [f"{source}  {name}" for source, name in found.items()]
            out.result(found, lambda console: console.print("\n".join(lines), soft_wrap=True))
            return
        rows = [
            {
                "format": format.name,
                "reads": "problems" if format.problem else "chains" if format.read else "scores",
                "writes": format.write is not None or format.name.startswith("rung"),
                "about": format.about,
            }
            for format in FORMATS.values()
        ]
        out.result(rows, lambda console: show_formats(console, rows))


@dataclass(frozen=True, slots=True)
class Convert:
    """Turn chains or problems of one format into another."""

    source: Source
    """A file or folder (JSONL, JSON, Parquet), "-", or a dataset: OWNER/NAME[@CONFIG][:SPLIT]."""
    out: str
    """The file to write (its suffix says if it is compressed or Parquet), or "-"."""
    to: str = "rung"
    """The format to write: rung, rung-problems, trl, math-shepherd or processbench."""
    format: str | None = None
    """The source's format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 becomes as a label."""
    steps_by: str | None = None
    """How to cut one-text solutions: blank-line, newline, numbered, sentence, marker:TOKEN."""
    labels: str | None = None
    """Whose labels to write, where chains have several (for formats other than rung's own)."""
    scores: str | None = None
    """A file of published step scores to join to the chains; chains without scores are dropped."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    force: bool = False
    """Replace an existing file even if it is not rung's own."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Convert."""
        if self.out == STDIN and self.json:
            raise RungError("--out - puts the rows on stdout, so --json has no place there")
        if self.labels is not None and self.to.startswith("rung"):
            raise RungError(f"--labels picks one set of labels, {self.to} rows don't need that")
        _check_writable(self.out, self.force)
        skipped = Skipped()
        num_rows = self._write(out.progress, skipped if self.skip_bad else None)
        tell_skipped(out.progress, skipped)
        result = {
            "out": self.out,
            "format": self.to,
            "rows": num_rows,
            "skipped_rows": skipped.count,
        }
        if self.out == STDIN:
            out.progress.log(f"{num_rows} rows written as {self.to}")
            return
        out.result(result, lambda c: c.print(f"{num_rows} rows in {self.out}", soft_wrap=True))

    def _write(self, progress: Progress, skipped: Skipped | None) -> int:
        if self.to == "rung-problems":
            problems = load_problems(self.source, format=self.format, skipped=skipped)
            watched = _watched(problems, progress, f"convert {self.source}")
            if self.out == STDIN:
                return _print(map(encode_problem, watched))
            return write_problems(Path(self.out), watched)
        records = open_source(self.source, self.format).records(_choices(self), skipped)
        if self.scores is not None:
            records = join_scores(records, self.scores)
        watched = _watched(records, progress, f"convert {self.source}")
        if self.to == "trl":
            watched = _noting_unlabeled(watched, self.labels, progress)
        if self.out != STDIN:
            return write(Path(self.out), watched, self.to, self.labels)
        if self.to == "rung":
            return _print(map(encode_record, watched))
        return _print(encoded(watched, self.to, self.labels))


@dataclass(frozen=True, slots=True)
class StatsCommand:
    """Count chains, problems, steps, labels, first errors, lengths and outcomes."""

    sources: Sources
    """Files, folders, "-" or Hugging Face datasets, each counted by itself."""
    format: str | None = None
    """The sources' format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 becomes as a label."""
    steps_by: str | None = None
    """How to cut one-text solutions: blank-line, newline, numbered, sentence, marker:TOKEN."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Count."""
        if not self.sources:
            raise RungError("nothing to count: give a file, a folder, - or a dataset's name")
        results: dict[str, dict[str, Any]] = {}
        for source in self.sources:
            skipped = Skipped()
            counted = skipped if self.skip_bad else None
            stats = self._count(source, out.progress, counted)
            tell_skipped(out.progress, skipped)
            results[source] = {"stats": stats, "skipped_rows": skipped.count}
        out.result(results, lambda console: show_stats(console, results))

    def _count(
        self, source: str, progress: Progress, skipped: Skipped | None
    ) -> Stats | ProblemStats | None:
        opened = open_source(source, self.format)
        if opened.format.problem is not None:
            problems = opened.problems(skipped)
            return count_problems(_watched(problems, progress, f"count {source}"))
        records = opened.records(_choices(self), skipped)
        return count(_watched(records, progress, f"count {source}"))


@dataclass(frozen=True, slots=True)
class SplitCommand:
    """Hold out problems with all their chains, and drop problems that another file has."""

    source: Source
    """What to split: a file, a folder, "-" or a Hugging Face dataset."""
    train: Path
    """Where the chains to train on go."""
    held_out: Path | None = None
    """Where the held-out chains go; without it problems are only dropped (see exclude)."""
    fraction: float = 0.1
    """Share of the problems to hold out."""
    seed: int = 0
    """Another seed holds out other problems."""
    exclude: Files = ()
    """Files of chains or problems; problems that they have are dropped here, whatever their id."""
    format: str | None = None
    """The source's format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 becomes as a label."""
    steps_by: str | None = None
    """How to cut one-text solutions: blank-line, newline, numbered, sentence, marker:TOKEN."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    force: bool = False
    """Replace existing files even if they are not rung's own."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Split."""
        self._check()
        keys: set[str] = set()
        for file in self.exclude:
            keys |= problem_keys(load_problems(file))
        skipped = Skipped()
        counted = skipped if self.skip_bad else None
        source = open_source(self.source, self.format).records(_choices(self), counted)
        records = list(_watched(source, out.progress, f"read {self.source}"))
        tell_skipped(out.progress, skipped)
        kept = list(without_problems(records, keys))
        if not kept:
            raise RungError(f"{self.source}: no problem is left, all are in the excluded files")
        parts = self._parts(kept)
        write(self.train, parts.train)
        if self.held_out is not None:
            write(self.held_out, parts.held_out)
        result = {
            "train": _size(parts.train),
            "held_out": _size(parts.held_out),
            "excluded": _size_less(_size(records), _size(kept)),
            "skipped_rows": skipped.count,
        }
        out.result(result, lambda console: console.print("\n".join(_split_lines(result))))

    def _check(self) -> None:
        if self.held_out is None and not self.exclude:
            raise RungError("nothing to do: give --held-out FILE, or --exclude FILE, or both")
        if self.held_out is not None and self.held_out.absolute() == self.train.absolute():
            raise RungError(f"--train and --held-out are the same file, {self.train}")
        for path in (self.train, self.held_out):
            if path is not None:
                _check_writable(str(path), self.force)

    def _parts(self, records: list[ChainRecord]) -> Split:
        if self.held_out is None:
            return Split(records, [])
        return split_by_problem(records, self.fraction, self.seed)


COMMANDS: dict[str, type] = {
    "ls": Ls,
    "convert": Convert,
    "stats": StatsCommand,
    "split": SplitCommand,
}


def _choices(command: Convert | StatsCommand | SplitCommand) -> Choices:
    return Choices(command.neutral, command.steps_by)


def _check_writable(name: str, force: bool) -> None:
    if name == STDIN or force or not exists(name):
        return
    try:
        is_ours = format_of(name).name.startswith("rung")
    except InputError:
        is_ours = False
    if not is_ours:
        raise RungError(f"{name}: this file exists and is not rung's own; --force replaces it")


def _watched(values: Iterable[T], progress: Progress, what: str) -> Iterator[T]:
    progress.start(what)
    for value in values:
        yield value
        progress.advance()


def _noting_unlabeled(
    records: Iterable[ChainRecord], source: str | None, progress: Progress
) -> Iterator[ChainRecord]:
    num_steps = 0
    for record in records:
        labels = record.labels_from(source)
        num_steps += 0 if labels is None else labels.labels.count(None)
        yield record
    if num_steps:
        progress.log(
            f"{num_steps} steps that nobody judged are written with the label null;"
            " TRL's own trainer wants a label for every step"
        )


def _print(lines: Iterable[bytes]) -> int:
    num_rows = 0
    for line in lines:
        sys.stdout.buffer.write(line)
        num_rows += 1
    sys.stdout.buffer.flush()
    return num_rows


def _size(records: list[ChainRecord]) -> dict[str, int]:
    problems = problem_keys(record.chain.problem for record in records)
    return {"problems": len(problems), "chains": len(records)}


def _size_less(all: dict[str, int], kept: dict[str, int]) -> dict[str, int]:
    return {name: all[name] - kept[name] for name in all}


def _split_lines(result: dict[str, Any]) -> Iterator[str]:
    for name in ("train", "held_out", "excluded"):
        part = result[name]
        shown = name.replace("_", "-")
        yield f"{shown:<9} {part['problems']:>7} problems {part['chains']:>8} chains"
