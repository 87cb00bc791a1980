"""A picture of shares over some number, as SVG: what a method reaches, and what it takes.

The number (tokens, chains, steps) stands on a log scale. It is light or dark as the page is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rung.eval.charts import CHART_STYLE, COLORS, HEADING, Size, ticks
from rung.eval.svg import Markup, Point, join, path_through, tag

SIZE = Size(880, 430, right=208, is_narrow=False)
LINE_HEIGHT = 24


class Share(NamedTuple):
    """A point: a share with its interval, and where it stands."""

    across: float
    value: float
    low: float
    high: float
    mark: str = ""
    """What stands beside the point."""


@dataclass(frozen=True, slots=True)
class Series:
    """A method at several places."""

    name: str
    points: Sequence[Share]
    color: str
    """One of the chart's: prm, orm, majority, weighted, oracle or random."""
    dash: str = "none"
    mark_at: tuple[float, float] = (6, -6)
    """Where the mark stands from its point; methods differ, so that near points keep theirs."""


class _Axes(NamedTuple):
    """From numbers and shares to places."""

    first: float
    last: float
    low: float
    high: float

    def at(self, number: float, share: float) -> Point:
        across = math.log(number / self.first) / math.log(self.last / self.first)
        up = (share - self.low) / (self.high - self.low)
        width = SIZE.width - SIZE.right - SIZE.left
        height = SIZE.height - SIZE.bottom - SIZE.top
        return Point(SIZE.left + across * width, SIZE.height - SIZE.bottom - up * height)


def share_chart(
    title: str,
    series: Sequence[Series],
    *,
    across: str,
    about: Sequence[str] = (),
    low: float = 0.0,
    high: float | None = None,
) -> str:
    """The whole SVG file.

    Args:
        title: Over the picture.
        series: A line each, through its points from left to right.
        across: What stands on the log scale, under the picture.
        about: Lines under the names of the series.
        low: Where the axis of shares begins.
        high: Where it ends; by default at the next twentieth above all intervals.
    """
    points = [point for one in series for point in one.points]
    numbers = [point.across for point in points]
    top_share = max(point.high for point in points)
    high = math.ceil(top_share * 20) / 20 if high is None else high
    axes = _Axes(min(numbers) * 0.85, max(numbers) * 1.15, low, high)
    top, height = -HEADING, SIZE.height + HEADING
    parts = [
        tag("style", Markup(COLORS + CHART_STYLE)),
        tag("rect", y=top, width=SIZE.width, height=height, style="fill: var(--paper)"),
        tag("text", title, class_="name", x=8, y=top + 26),
        _frame(axes, across),
        *(_line(axes, one) for one in series),
        _legend(series, about),
    ]
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="{title}" '
        f'width="{SIZE.width:g}" height="{height:g}" '
        f'viewBox="0 {top:g} {SIZE.width:g} {height:g}">'
    )
    return f"{opening}{join(parts)}</svg>\n"


def _frame(axes: _Axes, across: str) -> Markup:
    parts: list[Markup] = []
    for share in ticks(axes.low, axes.high):
        start, end = axes.at(axes.first, share), axes.at(axes.last, share)
        kind = "grid" if share > axes.low else "zero"
        parts.append(tag("line", class_=kind, x1=start.x, x2=end.x, y1=start.y, y2=end.y))
        said = f"{100 * share:.0f}%"
        parts.append(tag("text", said, x=start.x - 8, y=start.y + 4, text_anchor="end"))
    for number in _round_numbers(axes.first, axes.last):
        place = axes.at(number, axes.low)
        said = f"{number // 1000}k" if number >= 1000 and number % 1000 == 0 else str(number)
        parts.append(tag("text", said, x=place.x, y=place.y + 20, text_anchor="middle"))
    middle = (SIZE.left + SIZE.width - SIZE.right) / 2
    what = f"{across} (log scale)"
    parts.append(tag("text", what, x=middle, y=SIZE.height - 6, text_anchor="middle"))
    return join(parts)


def _round_numbers(first: float, last: float) -> Iterator[int]:
    """1, 2 and 5 of every power of ten in between."""
    for power in range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1):
        yield from (m * 10**power for m in (1, 2, 5) if first <= m * 10**power <= last)


def _line(axes: _Axes, one: Series) -> Markup:
    points = sorted(one.points)
    parts: list[Markup] = []
    for point in points:
        low, high = (axes.at(point.across, share) for share in (point.low, point.high))
        parts.append(tag("line", class_="leader", x1=low.x, x2=high.x, y1=low.y, y2=high.y))
    line = [axes.at(point.across, point.value) for point in points]
    parts.append(tag("path", class_="line", d=path_through(line), stroke_dasharray=one.dash))
    right, down = one.mark_at
    for point, place in zip(points, line, strict=True):
        parts.append(tag("circle", class_="dot", cx=place.x, cy=place.y, r=4))
        at = Point(place.x + right, place.y + down)
        parts.append(tag("text", point.mark, class_="series", x=at.x, y=at.y))
    return tag("g", *parts, style=f"--c: var(--{one.color})")


def _legend(series: Sequence[Series], about: Sequence[str]) -> Markup:
    left, parts = SIZE.width - SIZE.right + 16, list[Markup]()
    for k, one in enumerate(series):
        y = SIZE.top + 16 + LINE_HEIGHT * k
        sample = path_through([Point(left, y), Point(left + 34, y)])
        parts.append(
            tag(
                "g",
                tag("path", class_="line", d=sample, stroke_dasharray=one.dash),
                tag("text", one.name, class_="series", x=left + 42, y=y + 4),
                style=f"--c: var(--{one.color})",
            )
        )
    below = SIZE.top + 16 + LINE_HEIGHT * len(series) + 18
    for k, said in enumerate(about):
        parts.append(tag("text", said, x=left, y=below + 20 * k))
    return join(parts)
