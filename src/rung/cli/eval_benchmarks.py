"""`rung eval processbench`, `prmbench` and `published`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from rung.cli.benchmark_view import (
    list_published,
    show_first_errors,
    show_prmbench,
    show_published,
)
from rung.cli.eval_input import InputOptions, check_resamples, counted, scorers_meant
from rung.cli.output import JsonFlag, Output

if TYPE_CHECKING:
    from rung.eval import PublishedBenchmark


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
    published: bool = False
    """Print published results beside, of the subsets that have them."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Measure."""
        from rung.eval import processbench

        check_resamples(self.resamples)
        records, skips = self.input.read(out.progress)
        scorers = scorers_meant(records, self.scorer)
        out.progress.start("measure", len(scorers))
        found = [
            result
            for scorer in counted(scorers, out.progress)
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
        others = _published("processbench") if self.published else None
        out.result(
            {"metrics": found, **_beside(others), **skips},
            lambda console: show_first_errors(console, found, skips, others),
        )


@dataclass(frozen=True, slots=True)
class PrmBenchCommand:
    """PRMBench's rule: are planted errors told from right steps, class by class?

    The chains are PRMBench's, scored by 'rung score', or joined by --scores to the results of
    PRMBench's own toolkit.
    """

    input: InputOptions
    scorer: str | None = None
    """Whose scores; without it those of every scorer, one after the other."""
    label_source: str | None = None
    """Whose labels; without it the only ones there are."""
    threshold: float = 0.5
    """A step with a higher score is taken as right."""
    resamples: int = 2_000
    """Bootstrap resamples of the solutions that were edited."""
    seed: int = 0
    """Of the resamples."""
    published: bool = False
    """Print published results beside."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Measure."""
        from rung.eval import prmbench

        check_resamples(self.resamples)
        records, skips = self.input.read(out.progress)
        scorers = scorers_meant(records, self.scorer)
        out.progress.start("measure", len(scorers))
        found = [
            prmbench(
                records,
                scorer=scorer,
                label_source=self.label_source,
                threshold=self.threshold,
                resamples=self.resamples,
                seed=self.seed,
            )
            for scorer in counted(scorers, out.progress)
        ]
        others = _published("prmbench") if self.published else None
        out.result(
            {"metrics": found, **_beside(others), **skips},
            lambda console: show_prmbench(console, found, skips, others),
        )


@dataclass(frozen=True, slots=True)
class PublishedCommand:
    """Results that others have published, each with its source, to compare one's own with."""

    benchmarks: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[BENCHMARK ...]")
    ] = ()
    """Which; without it a list of them, and all with --json."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Print them."""
        from rung.eval import published_results

        found = published_results(self.benchmarks)
        show = show_published if self.benchmarks else list_published
        out.result({"benchmarks": found}, lambda console: show(console, found))


def _published(name: str) -> PublishedBenchmark:
    from rung.eval import published_results

    return published_results([name])[0]


def _beside(others: PublishedBenchmark | None) -> dict[str, Any]:
    return {} if others is None else {"published": others}
