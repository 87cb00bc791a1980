"""The report's pictures as SVG. Colors are CSS variables, so a page can be light or dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rung.eval.curves import BestOfN, CurvePoint
from rung.eval.expected import VERIFIED
from rung.eval.gaps import GapPoint
from rung.eval.svg import Markup, Point, join, path_through, spread, tag

COLORS = """
:root { --ink: #1c2024; --soft: #5b6570; --rule: #dfe3e8; --paper: #ffffff;
  --prm: #0067b1; --orm: #c84b00; --majority: #00805d; --weighted: #9a4f96;
  --oracle: #6b7580; --random: #6b7580; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a4adb7; --rule: #343b43;
  --paper: #14171a; --prm: #62b5f5; --orm: #ff9a5c; --majority: #3fcb9f; --weighted: #d79fd4;
  --oracle: #98a2ad; --random: #98a2ad; } }
"""
"""After Okabe and Ito: told apart with any color vision; lines also differ in dash and marker."""

CHART_STYLE = """
.chart text { font: 13px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  fill: var(--soft); }
.chart .name { font-weight: 600; }
.chart .grid { stroke: var(--rule); stroke-width: 1; }
.chart .zero { stroke: var(--ink); stroke-width: 1; }
.chart .line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
.chart .main .line { stroke-width: 3.2; }
.chart .band { fill: var(--c); opacity: .13; stroke: none; }
.chart .dot { fill: var(--paper); stroke: var(--c); stroke-width: 2; }
.chart .bar { fill: var(--c); opacity: .28; }
.chart .whisker { stroke: var(--c); stroke-width: 2; }
.chart .leader { stroke: var(--c); stroke-width: 1; opacity: .5; fill: none; }
.chart text.series { fill: var(--c); }
"""

Curves = Mapping[str, Sequence[CurvePoint]]
"""By name, as `rung.eval.BestOfN` has them."""


@dataclass(frozen=True, slots=True)
class Size:
    """A drawing's size and margins, in CSS pixels at full size."""

    width: float
    height: float
    right: float
    """Room for the names behind the lines."""
    is_narrow: bool
    left: float = 48
    top: float = 14
    bottom: float = 46


WIDE = Size(880, 430, right=208, is_narrow=False)
HEADING = 42.0
"""Room for the title of a picture that stands alone."""
NARROW = Size(360, 360, right=118, is_narrow=True, left=44)


@dataclass(frozen=True, slots=True)
class Look:
    """How a curve is drawn and called."""

    name: str
    short: str
    color: str
    dash: str = "none"
    is_main: bool = False
    has_band: bool = True


class Axes:
    """From numbers to places: x by log2, y linear."""

    def __init__(self, size: Size, ns: Sequence[int], low: float, high: float) -> None:
        self.size, self.ns, self.low, self.high = size, ns, low, high
        self.bottom = size.height - size.bottom
        self.end = size.width - size.right

    def x(self, n: float) -> float:
        """Place of a number of chains."""
        span = math.log2(self.ns[-1] / self.ns[0]) or 1.0
        return self.size.left + math.log2(n / self.ns[0]) / span * (self.end - self.size.left)

    def y(self, value: float) -> float:
        """Place of an accuracy or a difference."""
        return self.bottom - (value - self.low) / (self.high - self.low) * (
            self.bottom - self.size.top
        )

    def frame(self, y_label: Callable[[float], str]) -> Markup:
        """Grid lines with their labels, and what x is."""
        parts: list[Markup] = []
        for value in ticks(self.low, self.high):
            y = self.y(value)
            kind = "zero" if abs(value) < 1e-9 else "grid"
            parts.append(tag("line", class_=kind, x1=self.size.left, x2=self.end, y1=y, y2=y))
            left = self.size.left - 8
            parts.append(tag("text", y_label(value), x=left, y=y + 4, text_anchor="end"))
        for n in self.ns:
            y = self.bottom + 20
            parts.append(tag("text", str(n), x=self.x(n), y=y, text_anchor="middle"))
        middle = (self.size.left + self.end) / 2
        what = "N, chains a problem (log scale)"
        parts.append(tag("text", what, x=middle, y=self.bottom + 40, text_anchor="middle"))
        return join(parts)


def ticks(low: float, high: float) -> list[float]:
    """Round values from low to high, about five."""
    raw = (high - low) / 5
    scale = 10 ** math.floor(math.log10(raw))
    step = scale * min(m for m in (1, 2, 5, 10) if m * scale >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def looks(curves: Curves, rule: str) -> dict[str, Look]:
    """The curves that are drawn, of those that were measured."""
    prm = f"prm_{rule}"
    drawn = {
        "oracle": Look("oracle (pass@N)", "oracle", "oracle", dash="2 5", has_band=False),
        f"weighted_{prm}": Look("PRM-weighted vote", "weighted", "weighted", dash="8 3 2 3"),
        "majority": Look("majority vote", "majority", "majority", dash="4 3"),
        "orm": Look("ORM", "ORM", "orm", dash="10 4"),
        prm: Look(f"PRM ({rule.replace('_', '-')})", "PRM", "prm", is_main=True),
        "random": Look("random pick", "random", "random", dash="1 4", has_band=False),
    }
    verified = {
        f"{VERIFIED}{name}": Look(
            f"{said}, verified", f"{said}, ver.", color, dash="6 3", has_band=False
        )
        for name, said, color in (
            (prm, "PRM", "prm"),
            ("orm", "ORM", "orm"),
            ("majority", "vote", "majority"),
            ("random", "random", "random"),
        )
    }
    return {name: look for name, look in (drawn | verified).items() if name in curves}


def curves_chart(curves: Curves, rule: str, size: Size) -> Markup:
    """Accuracy over N with bands, each curve named at its end."""
    shown = looks(curves, rule)
    points = [p for name in shown for p in curves[name]]
    low = max(0.0, math.floor(min(p.low for p in points) * 10) / 10)
    high = min(1.0, math.ceil(max(p.high for p in points) * 10) / 10)
    if high <= low:
        low, high = (low - 0.1, low) if low > 0 else (0.0, 0.1)
    ns = [point.n for point in curves["oracle"]]
    axes = Axes(size, ns, low, high)
    series = [_series(axes, look, _of_curve(curves[name]), percent) for name, look in shown.items()]
    ends = {name: curves[name][-1].accuracy for name in shown}
    said = whole_percent if size.is_narrow else percent
    summary = ", ".join(f"{shown[name].name} {percent(end)}" for name, end in ends.items())
    return drawing(
        f"Accuracy over N. At N = {ns[-1]}: {summary}.",
        size,
        axes.frame(lambda value: f"{100 * value:.0f}%"),
        *series,
        _end_labels(axes, [(shown[name], end, said(end)) for name, end in ends.items()]),
    )


def gap_chart(found: BestOfN, rule: str, size: Size) -> Markup:
    """PRM minus ORM and PRM minus majority, in points, over N with bands."""
    prm = f"prm_{rule}"
    wanted = {
        f"{prm}_minus_majority": Look("over majority", "majority", "majority", dash="4 3"),
        f"{prm}_minus_orm": Look("over ORM", "ORM", "orm", is_main=True),
    }
    shown = {name: look for name, look in wanted.items() if name in found.gaps}
    points = [p for name in shown for p in found.gaps[name]]
    step = 0.05
    low = min(0.0, math.floor(min(p.low for p in points) / step) * step)
    high = max(step, math.ceil(max(p.high for p in points) / step) * step)
    axes = Axes(size, found.ns, low, high)
    series = [
        _series(axes, look, _of_gap(found.gaps[name]), in_points) for name, look in shown.items()
    ]
    ends = {name: found.gaps[name][-1].difference for name in shown}
    said = whole_points if size.is_narrow else in_points
    summary = ", ".join(f"{shown[name].name} {in_points(end)}" for name, end in ends.items())
    return drawing(
        f"The PRM's lead over N. At N = {found.ns[-1]}: {summary} points.",
        size,
        axes.frame(lambda value: f"{100 * value:+.0f}" if value else "0"),
        *series,
        _end_labels(axes, [(shown[name], end, said(end)) for name, end in ends.items()]),
    )


def percent(value: float) -> str:
    """0.8517 is 85.2%."""
    return f"{100 * value:.1f}%"


def whole_percent(value: float) -> str:
    """0.8517 is 85%."""
    return f"{100 * value:.0f}%"


def in_points(value: float) -> str:
    """0.104 is +10.4 (percentage points)."""
    return f"{100 * value:+.1f}".replace("-", "−")


def whole_points(value: float) -> str:
    """0.104 is +10 (percentage points)."""
    return f"{100 * value:+.0f}".replace("-", "−")


def drawing(summary: str, size: Size, *parts: Markup) -> Markup:
    """An SVG element that says to a screen reader what it shows."""
    return tag(
        "svg",
        *parts,
        class_="chart",
        viewBox=f"0 0 {size.width:g} {size.height:g}",
        width=size.width,
        height=size.height,
        role="img",
        aria_label=summary,
    )


def in_one_piece(title: str, size: Size, chart: Markup) -> str:
    """A drawing as an SVG file of its own: under a title, on a ground, with its colors."""
    top, height = -HEADING, size.height + HEADING
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" width="{size.width:g}" '
        f'height="{height:g}" viewBox="0 {top:g} {size.width:g} {height:g}">',
        tag("style", Markup(COLORS + CHART_STYLE)),
        tag("rect", y=top, width=size.width, height=height, style="fill: var(--paper)"),
        tag("text", title, class_="name", x=8, y=top + 26),
        chart[chart.index(">") + 1 :],
    ]
    return "".join(parts) + "\n"


class _Sample(NamedTuple):
    n: int
    value: float
    low: float
    high: float


def _of_curve(points: Sequence[CurvePoint]) -> list[_Sample]:
    return [_Sample(p.n, p.accuracy, p.low, p.high) for p in points]


def _of_gap(points: Sequence[GapPoint]) -> list[_Sample]:
    return [_Sample(p.n, p.difference, p.low, p.high) for p in points]


def _series(
    axes: Axes, look: Look, samples: Sequence[_Sample], say: Callable[[float], str]
) -> Markup:
    line = [Point(axes.x(p.n), axes.y(p.value)) for p in samples]
    upper = [Point(axes.x(p.n), axes.y(p.high)) for p in samples]
    lower = [Point(axes.x(p.n), axes.y(p.low)) for p in reversed(samples)]
    band = tag("path", class_="band", d=path_through([*upper, *lower]) + "Z")
    dots = [
        tag(
            "circle",
            tag("title", f"{look.name}, N = {p.n}: {say(p.value)} ({say(p.low)} to {say(p.high)})"),
            class_="dot",
            cx=place.x,
            cy=place.y,
            r=4.5 if look.is_main else 3,
        )
        for p, place in zip(samples, line, strict=True)
    ]
    return tag(
        "g",
        *([band] if look.has_band else []),
        tag("path", class_="line", d=path_through(line), stroke_dasharray=look.dash),
        *(dots if look.has_band else []),
        class_="main" if look.is_main else "other",
        style=f"--c: var(--{look.color})",
    )


def _end_labels(axes: Axes, ends: Sequence[tuple[Look, float, str]]) -> Markup:
    """Each curve's name and value behind its end; moved apart where they would overlap."""
    wanted = [axes.y(value) for _, value, _ in ends]
    places = spread(wanted, 18, axes.size.top + 6, axes.bottom)
    parts: list[Markup] = []
    for (look, _, said), at, y in zip(ends, wanted, places, strict=True):
        name = look.short if axes.size.is_narrow else look.name
        start = Point(axes.end + 6, at)
        leader = path_through([start, Point(axes.end + 16, y)])
        label = tag("tspan", f"{said} ", font_weight=700) + tag("tspan", name)
        parts.append(
            tag(
                "g",
                tag("path", class_="leader", d=leader),
                tag("text", Markup(label), class_="series", x=axes.end + 20, y=y + 4),
                style=f"--c: var(--{look.color})",
            )
        )
    return join(parts)
