"""`rung eval`: best-of-n curves, step metrics, ProcessBench."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import tyro

from rung.cli.eval_view import show_best_of_n, show_first_errors, show_steps
from rung.cli.inputs import Chains, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.core.codec import Skipped
from rung.core.errors import RungError
from rung.core.files import replacing
from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.data import Neutral, join_scores, load

if TYPE_CHECKING:
    from rung.eval import BestOfN


@dataclass(frozen=True, slots=True)
class Input:
    """What is measured."""

    scored: Chains
    """Files or URLs of scored chains, taken together; "-" is standard input, OWNER/NAME a
    dataset."""
    scores: str | None = None
    """A file of published step scores to join by chain id; chains without any are left out."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 means as a label."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""

    def read(self, progress: Progress) -> tuple[list[ChainRecord], dict[str, Any]]:
        """All chains, and what was left out on request.

        Raises:
            RungError: No source was named, or one can't be read.
        """
        if not self.scored:
            raise RungError("nothing to measure: give a file of scored chains, or -")
        skipped = Skipped()
        records = list(self._chains(progress, skipped))
        tell_skipped(progress, skipped)
        joined = records if self.scores is None else list(join_scores(records, self.scores))
        return joined, {
            "skipped_rows": skipped.count,
            "chains_not_in_scores": len(records) - len(joined),
        }

    def _chains(self, progress: Progress, skipped: Skipped) -> Iterator[ChainRecord]:
        for source in self.scored:
            progress.start(f"read {source}")
            for record in load(
                source,
                format=self.format,
                neutral=self.neutral,
                skipped=skipped if self.skip_bad else None,
            ):
                yield record
                progress.advance()


InputOptions = tyro.conf.OmitArgPrefixes[Input]


@dataclass(frozen=True, slots=True)
class BestOfNCommand:
    """Accuracy of picking the best of n chains: PRM, ORM, votes, random and oracle.

    The chains need checked final answers ('rung label verify') and, for PRM and ORM, scores.
    """

    input: InputOptions
    prm: str | None = None
    """The PRM's name; without it the only scorer of every step."""
    orm: str | None = None
    """The ORM's name; without it the only scorer of just the last step."""
    ns: tuple[int, ...] | None = None
    """Numbers of chains; without it 1, 2, 4, ... and the most that nine problems in ten have."""
    rule: str = "min"
    """The aggregation whose gaps are printed (all are in the JSON)."""
    resamples: int = 2_000
    """Bootstrap resamples of the problems."""
    seed: int = 0
    """Of the resamples and of the subsets that vote."""
    out: Path | None = None
    """A folder for best_of_n.json and the picture, curves.svg."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Measure."""
        from rung.core import AGGREGATIONS
        from rung.eval import best_of_n
        from rung.eval.choose import choose_prm_and_orm

        if self.rule not in AGGREGATIONS:
            raise RungError(f"there is no rule {self.rule!r}, only {', '.join(AGGREGATIONS)}")
        if self.ns is not None and min(self.ns, default=0) < 1:
            raise RungError("--ns needs numbers from 1 on")
        check_resamples(self.resamples)
        records, skips = self.input.read(out.progress)
        prm, orm = choose_prm_and_orm(records, self.prm, self.orm)
        out.progress.start("pick, vote and resample")
        found = best_of_n(
            records, prm=prm, orm=orm, ns=self.ns, resamples=self.resamples, seed=self.seed
        )
        result = {**msgspec.to_builtins(found), **skips}
        if self.out is not None:
            _write(self.out, result, found, self.rule)
        out.result(result, lambda console: show_best_of_n(console, found, self.rule, skips))


@dataclass(frozen=True, slots=True)
class StepsCommand:
    """Step metrics: AUROC overall and by position, first errors, calibration.

    The chains need step labels and step scores.
    """

    input: InputOptions
    scorer: str | None = None
    """Whose scores; without it those of every scorer, one after the other."""
    label_source: str | None = None
    """Whose labels; without it the only ones there are."""
    threshold: float = 0.5
    """A step with a lower score is taken as wrong."""
    resamples: int = 1_000
    """Bootstrap resamples of the problems."""
    seed: int = 0
    """Of the resamples."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Measure."""
        from rung.eval import step_metrics

        check_resamples(self.resamples)
        records, skips = self.input.read(out.progress)
        scorers = _scorers(records, self.scorer)
        out.progress.start("measure", len(scorers))
        found = [
            step_metrics(
                records,
                scorer=scorer,
                label_source=self.label_source,
                threshold=self.threshold,
                resamples=self.resamples,
                seed=self.seed,
            )
            for scorer in _counted(scorers, out.progress)
        ]
        out.result({"metrics": found, **skips}, lambda console: show_steps(console, found, skips))


@dataclass(frozen=True, slots=True)
class ProcessBenchCommand:
    """ProcessBench's rule: is the first wrong step found, are right chains left alone?

    Each subset by itself, for ProcessBench and for any other chains with step labels and scores.
    """

    input: InputOptions
    scorer: str | None = None
    """Whose scores; without it those of every scorer, one after the other."""
    label_source: str | None = None
    """Whose labels; without it the only ones there are."""
    threshold: float = 0.5
    """A step with a lower score is taken as wrong."""
    tune_on: str | None = None
    """Use the threshold that is best on this subset (the paper: gsm8k) for all subsets."""
    resamples: int = 2_000
    """Bootstrap resamples of the problems."""
    seed: int = 0
    """Of the resamples."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Measure."""
        from rung.eval import processbench

        check_resamples(self.resamples)
        records, skips = self.input.read(out.progress)
        scorers = _scorers(records, self.scorer)
        out.progress.start("measure", len(scorers))
        found = [
            result
            for scorer in _counted(scorers, out.progress)
            for result in processbench(
                records,
                scorer=scorer,
                label_source=self.label_source,
                threshold=self.threshold,
                tune_on=self.tune_on,
                resamples=self.resamples,
                seed=self.seed,
            )
        ]
        out.result(
            {"metrics": found, **skips}, lambda console: show_first_errors(console, found, skips)
        )


COMMANDS: dict[str, type] = {
    "best-of-n": BestOfNCommand,
    "steps": StepsCommand,
    "processbench": ProcessBenchCommand,
}


def check_resamples(resamples: int) -> None:
    """Refuse a bootstrap of nothing."""
    if resamples < 1:
        raise RungError("--resamples needs at least 1")


def _scorers(records: Sequence[ChainRecord], name: str | None) -> list[str]:
    from rung.eval.choose import choose_scorer, scorers_of

    present = scorers_of(records)
    return present if name is None and present else [choose_scorer(records, name)]


def _counted(scorers: Sequence[str], progress: Progress) -> Iterator[str]:
    for scorer in scorers:
        yield scorer
        progress.advance(note=scorer)


def _write(folder: Path, result: dict[str, Any], found: BestOfN, rule: str) -> None:
    from rung.eval import write_curves_svg

    with replacing(folder / "best_of_n.json") as path:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    write_curves_svg(folder / "curves.svg", found, rule=rule)
