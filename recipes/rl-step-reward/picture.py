"""Accuracy over tokens, a panel for each start, drawn from results.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measure import Place, place_of

from rung.core.files import replacing
from rung.eval.charts import CHART_STYLE, COLORS, Size, drawing
from rung.eval.svg import Markup, Point, path_through, tag

PANEL = Size(420, 250, right=16, is_narrow=True, top=34)
A_ROW = 2
LEGEND = 40
COLOR = {"outcome": "orm", "steps": "prm", "prm": "majority"}
CALLED = {"outcome": "the outcome alone", "steps": "true step labels", "prm": "a PRM"}


def write_picture(results: Mapping[str, Any], path: Path) -> None:
    """Write the picture as SVG, light and dark."""
    cells = dict.fromkeys(map(place_of, results["curves"]))
    rows = math.ceil(len(cells) / A_ROW)
    size = Size(PANEL.width * A_ROW, LEGEND + PANEL.height * rows, right=0, is_narrow=False)
    panels = [
        tag(
            "g",
            *_panel(results, cell),
            transform=f"translate({k % A_ROW * PANEL.width:g} "
            f"{LEGEND + k // A_ROW * PANEL.height:g})",
        )
        for k, cell in enumerate(cells)
    ]
    chart = drawing(
        "Held-out accuracy over sampled tokens, paid by outcome and by step",
        size,
        tag("style", Markup(COLORS + CHART_STYLE)),
        tag("rect", width=size.width, height=size.height, style="fill: var(--paper)"),
        *_legend(results),
        *panels,
    )
    alone = chart.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    with replacing(path) as aside:
        aside.write_text(alone + "\n", encoding="utf-8")


def _legend(results: Mapping[str, Any]) -> list[Markup]:
    found: list[Markup] = []
    for k, pay in enumerate(dict.fromkeys(c["pay"] for c in results["curves"])):
        x = PANEL.left + 190 * k
        line = tag("path", class_="line", d=path_through([Point(x, 22), Point(x + 26, 22)]))
        name = tag("text", CALLED[pay], class_="series", x=x + 32, y=26)
        found.append(tag("g", line, name, style=f"--c: var(--{COLOR[pay]})"))
    return found


def _panel(results: Mapping[str, Any], cell: Place) -> list[Markup]:
    curves = [c for c in results["curves"] if place_of(c) == cell]
    last = max(c["tokens"][-1] for c in curves)
    bottom, end = PANEL.height - PANEL.bottom, PANEL.width - PANEL.right

    def at(tokens: float, accuracy: float) -> Point:
        across = (end - PANEL.left) * tokens / last
        return Point(PANEL.left + across, bottom - (bottom - PANEL.top) * accuracy)

    steps = "1 step" if cell[0] == 1 else f"{cell[0]} steps"
    share = next(s["value"] for s in results["starts"] if place_of(s) == cell)
    title = f"{steps}, {cell[2]}, aimed at {100 * cell[1]:g}%: {100 * share:.2g}% right"
    parts = [tag("text", title, class_="name", x=PANEL.left, y=PANEL.top - 12)]
    for share in (0.0, 0.5, 1.0):
        place = at(0, share)
        parts += [
            tag("line", class_="grid", x1=place.x, x2=end, y1=place.y, y2=place.y),
            tag("text", f"{share:.0%}", x=place.x - 6, y=place.y + 4, text_anchor="end"),
        ]
    parts.append(tag("text", "0", x=PANEL.left, y=bottom + 18, text_anchor="middle"))
    said = f"{last / 1000:,.0f} k tokens"
    parts.append(tag("text", said, x=end, y=bottom + 18, text_anchor="end"))
    for curve in curves:
        places = [at(*pair) for pair in zip(curve["tokens"], curve["accuracy"], strict=True)]
        line = tag("path", class_="line", d=path_through(places))
        parts.append(tag("g", line, style=f"--c: var(--{COLOR[curve['pay']]})"))
    return parts
