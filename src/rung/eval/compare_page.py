"""A comparison as Markdown, for an issue or a README, and as one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rung.eval.compare import Comparison, MeasureResult, PairTest
from rung.eval.forest import forest_chart, said
from rung.eval.page import render_page
from rung.eval.published import PublishedBenchmark, Source, published_results
from rung.eval.statistics import Estimate

TEMPLATE = "compare.html.j2"
CLEAR = 0.05
"""Corrected p-values below count as clear."""


@dataclass(frozen=True, slots=True)
class PublishedLine:
    """A model's published results, in percent, by measure."""

    model: str
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Beside:
    """What others have published of the same measures."""

    lines: tuple[PublishedLine, ...]
    sources: tuple[Source, ...]


def published_beside(found: Comparison) -> Beside:
    """The published results of those measures that have any, best first in the first of them."""
    places = {one.name: one.published for one in found.measures if one.published is not None}
    benchmarks = {name: _benchmark(name) for name, _ in places.values()}
    values: dict[str, dict[str, float]] = {}
    used: dict[str, Source] = {}
    for measure, (benchmark, column) in places.items():
        for row in benchmarks[benchmark].rows:
            if column in row.values:
                values.setdefault(row.model, {})[measure] = row.values[column]
                used[row.source] = benchmarks[benchmark].sources[row.source]
    lines = [PublishedLine(model, known) for model, known in values.items()]
    lines.sort(key=lambda line: [-line.values.get(measure, 0.0) for measure in places])
    return Beside(tuple(lines), tuple(used.values()))


def _benchmark(name: str) -> PublishedBenchmark:
    return published_results([name])[0]


def as_markdown(found: Comparison, beside: Beside | None = None) -> str:
    """Two tables: scorers by measures, and the tests."""
    measures = [one.name for one in found.measures]
    costs = ["tokens a chain", "seconds a chain"] if found.costs else []
    rows = [
        [
            name,
            *(cell(one, one.scores.get(name)) for one in found.measures),
            *cost_cells(found, name),
        ]
        for name in found.scorers
    ]
    if beside is not None:
        rows += [
            [
                f"{line.model} (published)",
                *(f"{line.values[name]:.1f}" if name in line.values else "–" for name in measures),
                *("–" for _ in costs),
            ]
            for line in beside.lines
        ]
    lines = [*_table(["scorer", *measures, *costs], rows), "", *about(found)]
    if found.tests:
        lines += ["", *_table(TEST_COLUMNS, [test_cells(found, test) for test in found.tests])]
    if beside is not None:
        lines += ["", *(f"Published: {one.title}, {one.url}" for one in beside.sources)]
    return "\n".join(lines) + "\n"


TEST_COLUMNS = ["measure", "first", "second", "difference", "interval", "p", "p (Holm)"]


def test_cells(found: Comparison, test: PairTest) -> list[str]:
    """One test as text."""
    measure = next(one for one in found.measures if one.name == test.measure)
    difference, low, high = (
        difference_text(measure, value) for value in (test.difference, test.low, test.high)
    )
    ps = (f"{test.p_value:.2g}", f"{test.p_holm:.2g}")
    return [test.measure, test.first, test.second, difference, f"{low} to {high}", *ps]


def difference_text(measure: MeasureResult, value: float) -> str:
    """Percentage points, or the number itself, with its sign."""
    text = f"{100 * value:+.1f}" if measure.in_percent else f"{value:+.3f}"
    return text.replace("-", "−")


def cell(measure: MeasureResult, one: Estimate | None) -> str:
    """A value with its interval."""
    if one is None:
        return "–"
    if one.low is None or one.high is None:
        return said(measure, one.value)
    if measure.in_percent:
        return f"{100 * one.value:.1f} ({100 * one.low:.1f}–{100 * one.high:.1f})"
    return f"{one.value:.3f} ({one.low:.3f}–{one.high:.3f})"


def cost_cells(found: Comparison, scorer: str) -> list[str]:
    """Tokens and seconds a chain; none where no scorer's are known."""
    if not found.costs:
        return []
    cost = found.costs.get(scorer)
    if cost is None or not cost.chains:
        return ["–", "–"]
    tokens = "–" if cost.tokens is None else f"{cost.tokens / cost.chains:,.1f}"
    return [tokens, f"{cost.seconds / cost.chains:.4f}"]


def about(found: Comparison) -> list[str]:
    """What the numbers are of: a line for each measure, and one for all."""
    lines = [
        f"- {one.name}: {one.num_problems} problems, {one.num_chains} chains"
        + ("; lower is better" if one.lower_is_better else "")
        + (f"; {one.note}" if one.note else "")
        for one in found.measures
    ]
    clear = sum(test.p_holm < CLEAR for test in found.tests)
    tested = (
        f"; paired bootstrap tests, corrected by Holm for all {len(found.tests)} together: "
        f"{clear} clear at {CLEAR:g}"
        if found.tests
        else ""
    )
    intervals = f"{100 * found.confidence:g}% intervals from {found.resamples:,} resamples"
    return [*lines, f"- {intervals} of the problems{tested}"]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        _line(columns),
        _line(["---", *("---:" for _ in columns[1:])]),
        *(_line(row) for row in rows),
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in cells)} |"


def render_comparison(found: Comparison, beside: Beside | None = None, *, command: str) -> str:
    """The page's HTML.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    return render_page(TEMPLATE, title=title(found), command=command, **parts(found, beside))


def parts(found: Comparison, beside: Beside | None = None) -> dict[str, Any]:
    """What `part_comparison.html.j2` names."""
    return {
        "compared": found,
        "beside": beside,
        "charts": [(one, forest_chart(one)) for one in found.measures if any(one.scores.values())],
        "cell": cell,
        "cost_cells": cost_cells,
        "about": [line.removeprefix("- ") for line in about(found)],
        "tests": [(test, test_cells(found, test)) for test in found.tests],
        "test_columns": TEST_COLUMNS,
        "clear": CLEAR,
    }


def title(found: Comparison) -> str:
    """The page's one sentence: who leads in the first measure, and whether that is clear."""
    first = found.measures[0]
    known = {name: one.value for name, one in first.scores.items() if one is not None}
    best = (min if first.lower_is_better else max)(known, key=known.__getitem__)
    text = f"{best} has the best {first.name}, {said(first, known[best])}"
    rivals = [
        test
        for test in found.tests
        if test.measure == first.name and best in (test.first, test.second)
    ]
    if not rivals:
        return text
    clear = sum(test.p_holm < CLEAR for test in rivals)
    of = f"all {clear} rivals" if clear == len(rivals) else f"{clear} of {len(rivals)} rivals"
    if len(rivals) == 1:
        of = "its rival"
    return f"{text}, clearly ahead of {of}" if clear else f"{text}, not clearly ahead of any rival"
