"""Scorers on one measure as points with intervals, one below the other (a forest plot), as SVG."""

from __future__ import annotations

from rung.eval.charts import Size, drawing, in_one_piece, ticks
from rung.eval.compare import MeasureResult
from rung.eval.statistics import Estimate
from rung.eval.svg import Markup, Point, tag

ROW = 26.0
NAMES = 270.0
WIDTH = 880.0
VALUES = 90.0
"""Room for the numbers behind the intervals."""
TOP = 10.0
BOTTOM = 30.0
LONGEST_NAME = 36


def forest_svg(title: str, found: MeasureResult) -> str:
    """The same chart as an SVG file of its own, under a title."""
    return in_one_piece(title, _size(len(_known(found))), forest_chart(found))


def forest_chart(found: MeasureResult) -> Markup:
    """One row a scorer, best first."""
    rows = sorted(
        _known(found),
        key=lambda row: row[1].value if found.lower_is_better else -row[1].value,
    )
    ends = [
        (e.value if e.low is None else e.low, e.value if e.high is None else e.high)
        for _, e in rows
    ]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    margin = max(0.05 * (high - low), 0.005)
    size = _size(len(rows))
    axis = _Axis(low - margin, high + margin, size)
    summary = ", ".join(f"{name} {said(found, one.value)}" for name, one in rows)
    return drawing(
        f"{found.name}: {summary}",
        size,
        *_frame(found, axis),
        *(_row(found, axis, k, name, one) for k, (name, one) in enumerate(rows)),
    )


def said(found: MeasureResult, value: float) -> str:
    """A value in the measure's own way."""
    return f"{100 * value:.1f}%" if found.in_percent else f"{value:.3f}"


def _known(found: MeasureResult) -> list[tuple[str, Estimate]]:
    return [(name, one) for name, one in found.scores.items() if one is not None]


def _size(num_rows: int) -> Size:
    return Size(WIDTH, TOP + ROW * num_rows + BOTTOM, right=VALUES, is_narrow=False, left=NAMES)


class _Axis:
    """From values to places along a row."""

    def __init__(self, low: float, high: float, size: Size) -> None:
        self.low, self.high, self.size = low, high, size

    def x(self, value: float) -> float:
        width = self.size.width - self.size.right - self.size.left
        return self.size.left + (value - self.low) / (self.high - self.low) * width


def _frame(found: MeasureResult, axis: _Axis) -> list[Markup]:
    bottom = axis.size.height - BOTTOM
    parts: list[Markup] = []
    for value in ticks(axis.low, axis.high):
        x = axis.x(value)
        label = f"{100 * value:.0f}%" if found.in_percent else f"{value:.2f}"
        parts += [
            tag("line", class_="grid", x1=x, x2=x, y1=TOP, y2=bottom),
            tag("text", label, x=x, y=bottom + 20, text_anchor="middle"),
        ]
    return parts


def _row(found: MeasureResult, axis: _Axis, k: int, name: str, one: Estimate) -> Markup:
    at = Point(axis.x(one.value), TOP + ROW * (k + 0.5))
    whisker: list[Markup] = []
    if one.low is not None and one.high is not None:
        ends = {"x1": axis.x(one.low), "x2": axis.x(one.high)}
        whisker = [tag("line", class_="whisker", y1=at.y, y2=at.y, **ends)]
    short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    behind = axis.size.width - axis.size.right + 10
    return tag(
        "g",
        tag("text", tag("title", name), short, x=NAMES - 14, y=at.y + 4, text_anchor="end"),
        *whisker,
        tag("circle", class_="dot", cx=at.x, cy=at.y, r=4.5),
        tag("text", said(found, one.value), class_="name", x=behind, y=at.y + 4),
        style="--c: var(--prm)",
    )
