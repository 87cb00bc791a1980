"""The reliability diagram of a scorer, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from rung.core.files import replacing
from rung.eval.calibration import Calibration, CalibrationBin
from rung.eval.charts import CHART_STYLE, COLORS, HEADING, Size, drawing
from rung.eval.svg import Markup, Point, path_through, tag

SIDE = 300.0
ORIGIN = Point(44.0, 14.0 + SIDE)
SIZE = Size(SIDE + 64, SIDE + 64, right=20, is_narrow=True)
MARGIN = 8.0
"""Before the first of several diagrams."""
A_ROW = 3
"""Diagrams side by side."""
BAR_SHARE = 0.3
"""Height of the fullest bin's bar, as a share of the diagram's."""


def reliability_chart(found: Calibration) -> Markup:
    """Share of right steps over score, with intervals; the bars show how many steps."""
    ece = "" if found.ece is None else f" Expected calibration error {found.ece.value:.3f}."
    return drawing(f"Reliability: share of right steps over score.{ece}", SIZE, *_diagram(found))


def write_reliability_svg(path: Path, found: Mapping[str, Calibration]) -> None:
    """Diagrams in rows of three, each under its name, as a picture of its own: light and dark."""
    width, height = SIZE.width, SIZE.height + HEADING
    rows = math.ceil(len(found) / A_ROW)
    size = Size(MARGIN + width * min(len(found), A_ROW), height * rows, right=20, is_narrow=False)
    panels = [
        tag(
            "g",
            *_panel(name, one),
            transform=_moved(MARGIN + k % A_ROW * width, HEADING + k // A_ROW * height),
        )
        for k, (name, one) in enumerate(found.items())
    ]
    chart = drawing(
        f"Reliability: share of right steps over score. {', '.join(found)}.",
        size,
        tag("style", Markup(COLORS + CHART_STYLE)),
        tag("rect", width=size.width, height=size.height, style="fill: var(--paper)"),
        *panels,
    )
    alone = chart.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    with replacing(path) as aside:
        aside.write_text(alone + "\n", encoding="utf-8")


def _panel(name: str, found: Calibration) -> list[Markup]:
    ece = "" if found.ece is None else f": ECE {found.ece.value:.3f}"
    head = tag("text", f"{name}{ece}", class_="name", x=ORIGIN.x, y=-18.0)
    axis = tag("text", "share of right steps", x=ORIGIN.x, y=4.0)
    return [head, axis, *_diagram(found)]


def _moved(x: float, y: float) -> str:
    return f"translate({x:g} {y:g})"


def _diagram(found: Calibration) -> list[Markup]:
    perfect = path_through([_place(0, 0), _place(1, 1)])
    diagonal = tag(
        "path", class_="line", d=perfect, style="--c: var(--soft)", stroke_dasharray="3 4"
    )
    drawn = tag("g", *_bars(found), diagonal, *_shares(found), style="--c: var(--prm)")
    return [*_frame(), drawn]


def _place(score: float, share: float) -> Point:
    return Point(ORIGIN.x + score * SIDE, ORIGIN.y - share * SIDE)


def _frame() -> list[Markup]:
    parts: list[Markup] = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        start, end, at = _place(0, value), _place(1, value), _place(value, 0)
        label = f"{100 * value:.0f}%"
        parts += [
            tag("line", class_="grid", x1=start.x, x2=end.x, y1=start.y, y2=end.y),
            tag("text", label, x=start.x - 8, y=start.y + 4, text_anchor="end"),
            tag("text", f"{value:g}", x=at.x, y=at.y + 20, text_anchor="middle"),
        ]
    middle = _place(0.5, 0)
    parts.append(
        tag("text", "score of the step", x=middle.x, y=middle.y + 40, text_anchor="middle")
    )
    return parts


def _bars(found: Calibration) -> list[Markup]:
    most = max(bin.num_steps for bin in found.bins)
    return [_bar(bin, BAR_SHARE * bin.num_steps / most) for bin in found.bins]


def _bar(bin: CalibrationBin, share: float) -> Markup:
    corner = _place(bin.from_score, share)
    return tag(
        "rect",
        tag("title", f"{bin.num_steps} steps with scores {bin.from_score:g} to {bin.to_score:g}"),
        class_="bar",
        x=corner.x + 1,
        y=corner.y,
        width=_place(bin.to_score, 0).x - corner.x - 2,
        height=ORIGIN.y - corner.y,
    )


def _shares(found: Calibration) -> list[Markup]:
    parts: list[Markup] = []
    line: list[Point] = []
    for bin in found.bins:
        share, score = bin.share_right, bin.mean_score
        if share is None or score is None:
            continue
        at = _place(score, share.value)
        line.append(at)
        if share.low is not None and share.high is not None:
            low, high = _place(score, share.low), _place(score, share.high)
            parts.append(tag("line", class_="whisker", x1=at.x, x2=at.x, y1=low.y, y2=high.y))
        said = tag("title", f"score {score:.2f}: {100 * share.value:.0f}% right")
        parts.append(tag("circle", said, class_="dot", cx=at.x, cy=at.y, r=4.5))
    return [tag("path", class_="line", d=path_through(line)), *parts]
