"""How a comparison of scorers is shown to a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rung.cli.tables import fitting, new_table, show_skips

if TYPE_CHECKING:
    from rich.console import Console

    from rung.eval import Beside, Comparison

SHOWN_TESTS = 40
"""More are in the files and in the JSON; the terminal shows those that are clear."""


def show_comparison(
    console: Console, found: Comparison, beside: Beside | None, skips: Mapping[str, Any]
) -> None:
    """Scorers by measures, what the numbers are of, and the tests."""
    from rung.eval.compare_page import about

    _show_scores(console, found, beside)
    for line in about(found):
        console.print(line, soft_wrap=True)
    for source in beside.sources if beside else ():
        console.print(f"- published: {source.title}, {source.url}", soft_wrap=True)
    _show_tests(console, found)
    show_skips(console, skips)


def _show_scores(console: Console, found: Comparison, beside: Beside | None) -> None:
    """As many tables below one another as it takes for all columns to have room."""
    from rung.eval.compare_page import cell, cost_cells

    costs = ["tokens a chain", "seconds a chain"] if found.costs else []
    columns = [*(one.name for one in found.measures), *costs]
    rows = {
        name: [
            *(cell(one, one.scores.get(name)).replace(" (", "\n(") for one in found.measures),
            *cost_cells(found, name),
        ]
        for name in found.scorers
    }
    for line in beside.lines if beside else ():
        values = [line.values.get(one.name) for one in found.measures]
        numbers = ["–" if value is None else f"{value:.1f}" for value in values]
        rows[f"{line.model} (published)"] = [*numbers, *("–" for _ in costs)]
    widths = [
        max(len(part) for text in (*column.split(), *cells) for part in text.split("\n"))
        for column, cells in zip(columns, zip(*rows.values(), strict=True), strict=True)
    ]
    for run in fitting(widths, console.width - max(map(len, rows))):
        table = new_table("scorer", *(columns[k] for k in run))
        for name, cells in rows.items():
            table.add_row(name, *(cells[k] for k in run))
        console.print(table)


def _show_tests(console: Console, found: Comparison) -> None:
    from rung.eval.compare_page import CLEAR, TEST_COLUMNS, test_cells

    tests = list(found.tests)
    if len(tests) > SHOWN_TESTS:
        tests = [test for test in tests if test.p_holm < CLEAR]
        console.print(f"- of {len(found.tests)} tests the {len(tests)} clear ones are shown")
    for one in found.measures:
        if shown := [test for test in tests if test.measure == one.name]:
            table = new_table(one.name, *TEST_COLUMNS[3:])
            for test in shown:
                cells = test_cells(found, test)[3:]
                table.add_row(f"{test.first}\n  minus {test.second}", *cells)
            console.print(table)
