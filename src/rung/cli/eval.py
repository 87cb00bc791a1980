"""`rung eval`: best-of-n curves and step metrics; the other measures stand beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rung.cli.eval_benchmarks import PrmBenchCommand, ProcessBenchCommand, PublishedCommand
from rung.cli.eval_compare import CompareCommand
from rung.cli.eval_input import InputOptions, check_resamples, counted, scorers_meant
from rung.cli.eval_robustness import RobustnessCommand
from rung.cli.eval_view import show_best_of_n, show_steps
from rung.cli.output import JsonFlag, Output
from rung.core.errors import RungError
from rung.core.files import replacing

if TYPE_CHECKING:
    from rung.eval import BestOfN, Calibration, StepMetrics


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
    verifier: str | None = None
    """A source of labels, as arithmetic: every rule is measured a second time, among the chains of
    which it calls no step wrong."""
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
        from rung.eval.choose import choose_prm_and_orm, choose_verifier

        if self.rule not in AGGREGATIONS:
            raise RungError(f"there is no rule {self.rule!r}, only {', '.join(AGGREGATIONS)}")
        if self.ns is not None and min(self.ns, default=0) < 1:
            raise RungError("--ns needs numbers from 1 on")
        check_resamples(self.resamples)
        records, skips = self.input.read(out.progress)
        prm, orm = choose_prm_and_orm(records, self.prm, self.orm)
        verifier = choose_verifier(records, self.verifier)
        out.progress.start("pick, vote and resample")
        found = best_of_n(
            records,
            prm=prm,
            orm=orm,
            verifier=verifier,
            ns=self.ns,
            resamples=self.resamples,
            seed=self.seed,
        )
        result = {**msgspec.to_builtins(found), **skips}
        if self.out is not None:
            _write(self.out, result, found, self.rule)
        out.result(result, lambda console: show_best_of_n(console, found, self.rule, skips))


@dataclass(frozen=True, slots=True)
class StepsCommand:
    """Step metrics: AUROC and calibration, overall and by position, and how near first errors are.

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
    plot: Path | None = None
    """Draw reliability diagrams, of all steps and by position, into this SVG file."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Measure."""
        from rung.eval import step_metrics, write_reliability_svg

        check_resamples(self.resamples)
        records, skips = self.input.read(out.progress)
        scorers = scorers_meant(records, self.scorer)
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
            for scorer in counted(scorers, out.progress)
        ]
        if self.plot is not None:
            write_reliability_svg(self.plot, _diagrams(found))
        out.result({"metrics": found, **skips}, lambda console: show_steps(console, found, skips))


COMMANDS: dict[str, type] = {
    "best-of-n": BestOfNCommand,
    "steps": StepsCommand,
    "processbench": ProcessBenchCommand,
    "prmbench": PrmBenchCommand,
    "compare": CompareCommand,
    "robustness": RobustnessCommand,
    "published": PublishedCommand,
}


LONGEST_NAME = 18
"""Of a scorer, over its diagrams."""


def _diagrams(found: Sequence[StepMetrics]) -> dict[str, Calibration]:
    """A diagram for each scorer and range of positions, in reading order."""
    shared = len(found) > 1
    return {
        f"{metrics.scorer[:LONGEST_NAME]}, {where}" if shared else where: calibration
        for metrics in found
        for where, calibration in [
            ("all steps", metrics.calibration),
            *((f"position {row.bucket}", row.calibration) for row in metrics.by_bucket),
        ]
    }


def _write(folder: Path, result: dict[str, Any], found: BestOfN, rule: str) -> None:
    from rung.eval import write_curves_svg

    with replacing(folder / "best_of_n.json") as path:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    write_curves_svg(folder / "curves.svg", found, rule=rule)
