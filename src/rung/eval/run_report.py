"""The report of a user's own run: what its files allow, on one page.

Curves where answers were checked, a table of all scorers, calibration and first errors where steps
are labeled, robustness where variants were scored, losses where something was trained, and cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rung.core import ChainRecord, RungError
from rung.core.files import replacing
from rung.eval.applicable import measures_of
from rung.eval.charts import NARROW, WIDE, curves_chart, in_points, percent
from rung.eval.choose import (
    choose_label_source,
    choose_prm_and_orm,
    label_sources_of,
    reads_every_step,
    scorers_of,
)
from rung.eval.compare import Comparison, Cost, compare
from rung.eval.compare_page import parts
from rung.eval.compare_page import title as compared_title
from rung.eval.curves import BestOfN, best_of_n
from rung.eval.examples import choose_examples, view_example
from rung.eval.loss_chart import Losses, loss_chart
from rung.eval.page import render_page
from rung.eval.pick_measures import has_choices
from rung.eval.reliability import reliability_chart
from rung.eval.report import Stage, cost_rows, duration, gap_charts, headline, lead, versions
from rung.eval.reward_chart import Rewards, reward_chart
from rung.eval.robustness import VariantChange
from rung.eval.statistics import CONFIDENCE, RESAMPLES, Estimate
from rung.eval.steps import STEP_RESAMPLES, StepMetrics, step_metrics
from rung.eval.svg import Markup

TEMPLATE = "run.html.j2"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """All that the page shows; a part that the run's files don't allow is None or empty."""

    name: str
    """The run's, as its folder is called."""
    files: tuple[str, ...]
    """Those that the numbers are from."""
    prm: str | None
    """Whose scores the curves, the calibration and the examples are about."""
    best_of_n: BestOfN | None
    comparison: Comparison | None
    steps: StepMetrics | None
    examples: tuple[ChainRecord, ...]
    robustness: tuple[VariantChange, ...] = ()
    losses: tuple[Losses | Rewards, ...] = ()
    stages: tuple[Stage, ...] = ()
    rule: str = "min"
    command: str = ""
    seed: int = 0
    confidence: float = CONFIDENCE


def measure_run(
    records: Sequence[ChainRecord],
    *,
    name: str,
    files: Sequence[str],
    prm: str | None = None,
    orm: str | None = None,
    label_source: str | None = None,
    rule: str = "min",
    costs: dict[str, Cost] | None = None,
    robustness: Sequence[VariantChange] = (),
    losses: Sequence[Losses | Rewards] = (),
    stages: Sequence[Stage] = (),
    command: str = "",
    resamples: int | None = None,
    seed: int = 0,
) -> RunReport:
    """Measure all that scored chains allow, and put the rest beside it.

    Args:
        records: Scored chains; perhaps none, where something was trained or varied.
        name: The run's.
        files: Where the chains are from.
        prm: Whose scores are drawn and taken apart, where several read every step.
        orm: Whose, where several read only the last.
        label_source: Whose labels, where there are several.
        rule: The aggregation with which PRMs pick.
        costs: What scores took.
        robustness: Of variants, measured.
        losses: Of trainings; of `rung rl`'s, what was paid and what was right.
        stages: What else took time.
        command: What a person types to get this page.
        resamples: Of the problems; by default each measure's own number.
        seed: Of resamples, subsets and examples.

    Raises:
        RungError: Nothing can be measured, or several scorers or label sources are meant.
    """
    prm, orm = choose_prm_and_orm(records, prm, orm)
    labeled = bool(label_sources_of(records))
    source = choose_label_source(records, label_source) if labeled or label_source else None
    measures = measures_of(records, scorers_of(records), label_source=source, rule=rule, seed=seed)
    if not (measures or robustness or losses):
        raise RungError("the scored chains have neither step labels nor several checked answers")
    curves = (
        best_of_n(records, prm=prm, orm=orm, resamples=resamples or RESAMPLES, seed=seed)
        if has_choices(records)
        else None
    )
    has_steps = prm is not None and source is not None and reads_every_step(records, prm)
    return RunReport(
        name=name,
        files=tuple(files),
        prm=prm,
        best_of_n=curves,
        comparison=compare(measures, costs=costs, resamples=resamples, seed=seed)
        if measures
        else None,
        steps=step_metrics(
            records,
            scorer=prm,
            label_source=source,
            resamples=resamples or STEP_RESAMPLES,
            seed=seed,
        )
        if has_steps
        else None,
        examples=tuple(choose_examples(records, seed=seed)),
        robustness=tuple(robustness),
        losses=tuple(losses),
        stages=(*stages, *_scoring(costs or {})),
        rule=rule,
        command=command,
        seed=seed,
    )


def _scoring(costs: dict[str, Cost]) -> list[Stage]:
    return [Stage(f"score with {name}", one.seconds, one.tokens) for name, one in costs.items()]


def write_run_report(path: Path, report: RunReport) -> None:
    """Write the page in one piece; see `render_run_report`."""
    page = render_run_report(report)
    with replacing(path) as aside:
        aside.write_text(page, encoding="utf-8")


def render_run_report(report: RunReport) -> str:
    """The page's HTML.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    found, rule, steps = report.best_of_n, report.rule, report.steps
    compared = report.comparison
    title = headline(found, rule) if found is not None else f"What {report.name} holds"
    if found is None and compared is not None:
        title = compared_title(compared)
    return render_page(
        TEMPLATE,
        report=report,
        found=found,
        title=title,
        lead=lead(found, rule) if found is not None else "",
        curves=None
        if found is None
        else (curves_chart(found.curves, rule, WIDE), curves_chart(found.curves, rule, NARROW)),
        gaps=None if found is None else gap_charts(found, rule),
        rule=rule,
        steps=steps,
        calibration=None if steps is None else steps.calibration,
        reliability=None if steps is None else reliability_chart(steps.calibration),
        step_auroc=None if steps is None else steps.auroc,
        confidence=report.confidence,
        examples=[
            view_example(
                record,
                scorer=report.prm,
                label_source=None if steps is None else steps.label_source,
                rule=rule,
            )
            for record in report.examples
        ],
        losses=[(one.name, _training_chart(one)) for one in report.losses],
        costs=cost_rows(report.stages),
        total=duration(sum(stage.seconds for stage in report.stages)),
        versions=versions(),
        percent=percent,
        in_points=in_points,
        interval=_interval,
        **({"compared": None} if compared is None else parts(compared)),
    )


def _interval(one: Estimate | None, form: str = "%.3f", times: float = 1.0) -> str:
    """A number and its interval as text; the template makes two lines of it."""
    if one is None:
        return "–"
    value = form % (times * one.value)
    if one.low is None or one.high is None:
        return value
    return f"{value}|{form % (times * one.low)} to {form % (times * one.high)}"


def _training_chart(found: Losses | Rewards) -> Markup:
    return loss_chart(found) if isinstance(found, Losses) else reward_chart(found)
