"""The report: one HTML page that needs nothing else, light or dark, wide or narrow."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rung.core import ChainRecord
from rung.core.files import replacing
from rung.eval.calibration import Calibration
from rung.eval.charts import (
    NARROW,
    WIDE,
    curves_chart,
    gap_chart,
    in_points,
    percent,
)
from rung.eval.curves import BestOfN
from rung.eval.examples import ExampleView, view_example
from rung.eval.gaps import GapPoint
from rung.eval.page import render_page
from rung.eval.reliability import reliability_chart
from rung.eval.statistics import Estimate
from rung.eval.svg import Markup

TEMPLATE = "report.html.j2"
PACKAGES = ("rung", "numpy", "torch", "transformers", "tokenizers", "math-verify")


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the work and what it cost."""

    name: str
    seconds: float
    tokens: int | None = None
    """Tokens sampled, trained on or scored; None where there are none to count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """All that the page shows."""

    best_of_n: BestOfN
    calibration: Calibration | None
    """The PRM's, on steps that it was not trained on."""
    examples: Sequence[ChainRecord]
    """Chains with PRM scores, labels and outcome; see `choose_examples`."""
    stages: Sequence[Stage]
    command: str
    """What a person types to get this page."""
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rule: str = "min"
    """The aggregation that the headline is about."""
    label_source: str | None = None
    """Whose labels mark the first error; None for the only ones there are."""
    step_auroc: Estimate | None = None
    setting: str = ""
    """One or two sentences: which problems, which policy, which models."""


@dataclass(frozen=True, slots=True)
class CostRow:
    """A stage as the page shows it."""

    name: str
    seconds: str
    share: float
    tokens: str
    speed: str


def write_report(path: Path, report: ReportData) -> None:
    """Write the page in one piece.

    Everything that a model or a file wrote is escaped. The page loads nothing from elsewhere.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    page = render_report(report)
    with replacing(path) as aside:
        aside.write_text(page, encoding="utf-8")


def render_report(report: ReportData) -> str:
    """The page's HTML.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    found, rule = report.best_of_n, report.rule
    return render_page(
        TEMPLATE,
        report=report,
        found=found,
        title=headline(found, rule),
        lead=lead(found, rule),
        curves=(curves_chart(found.curves, rule, WIDE), curves_chart(found.curves, rule, NARROW)),
        gaps=gap_charts(found, rule),
        rule=rule,
        reliability=None if report.calibration is None else reliability_chart(report.calibration),
        calibration=report.calibration,
        confidence=found.confidence,
        step_auroc=report.step_auroc,
        examples=_examples(report),
        costs=cost_rows(report.stages),
        total=duration(sum(stage.seconds for stage in report.stages)),
        versions=versions(),
        percent=percent,
        in_points=in_points,
    )


def headline(found: BestOfN, rule: str = "min") -> str:
    """The page's one sentence, from the numbers."""
    n, prm = found.ns[-1], f"prm_{rule}"
    if prm not in found.curves:
        best = percent(found.at("majority", n).accuracy)
        return f"Among {n} chains a problem, majority voting is right on {best} of the problems"
    gaps = [
        f"{_more(found.gap_at(f'{prm}_minus_{other}', n))} than {name}"
        for other, name in (("orm", "the ORM"), ("majority", "majority voting"))
        if f"{prm}_minus_{other}" in found.gaps
    ]
    accuracy = percent(found.at(prm, n).accuracy)
    return (
        f"Picking among {n} chains, the PRM is right on {accuracy} of the problems: "
        + " and ".join(gaps)
    )


def lead(found: BestOfN, rule: str = "min") -> str:
    """Where that stands: one chain alone, the intervals, the ceiling."""
    n, prm = found.ns[-1], f"prm_{rule}"
    sentences = [
        f"A single chain is right {percent(found.pass_at_1)} of the time, "
        f"and {percent(found.at('oracle', n).accuracy)} of the problems have at least one right "
        f"chain among the {n}."
    ]
    for other, name in (("orm", "the ORM"), ("majority", "majority voting")):
        if f"{prm}_minus_{other}" in found.gaps:
            gap = found.gap_at(f"{prm}_minus_{other}", n)
            sentences.append(
                f"The lead over {name} is {in_points(gap.difference)} points "
                f"({100 * found.confidence:g}% interval {in_points(gap.low)} to "
                f"{in_points(gap.high)}; better on {gap.wins} problems, worse on {gap.losses})."
            )
    return " ".join(sentences)


def _more(gap: GapPoint) -> str:
    return f"{abs(100 * gap.difference):.1f} points {'more' if gap.difference >= 0 else 'less'}"


def gap_charts(found: BestOfN, rule: str) -> tuple[Markup, Markup] | None:
    """The PRM's lead, wide and narrow; None where there is nothing to lead over."""
    if not any(name.startswith(f"prm_{rule}_minus_") for name in found.gaps):
        return None
    return gap_chart(found, rule, WIDE), gap_chart(found, rule, NARROW)


def _examples(report: ReportData) -> list[ExampleView]:
    return [
        view_example(
            record,
            scorer=report.best_of_n.prm,
            label_source=report.label_source,
            rule=report.rule,
        )
        for record in report.examples
    ]


def cost_rows(stages: Sequence[Stage]) -> list[CostRow]:
    """The stages as the page shows them."""
    longest = max((stage.seconds for stage in stages), default=0.0) or 1.0
    return [
        CostRow(
            name=stage.name,
            seconds=duration(stage.seconds),
            share=stage.seconds / longest,
            tokens="–" if stage.tokens is None else f"{stage.tokens:,}",
            speed=f"{stage.tokens / stage.seconds:,.0f}" if stage.tokens and stage.seconds else "–",
        )
        for stage in stages
    ]


def duration(seconds: float) -> str:
    """Seconds, or minutes and seconds."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def versions() -> dict[str, str]:
    """Python's version, and those of the packages that matter and are there."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
