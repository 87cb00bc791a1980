"""The curves as a picture of its own, for a README: light and dark, no page needed."""

from __future__ import annotations

from pathlib import Path

from rung.core.files import replacing
from rung.eval.charts import CHART_STYLE, COLORS, HEADING, WIDE, Curves, curves_chart
from rung.eval.curves import BestOfN
from rung.eval.svg import Markup, tag


def write_curves_svg(path: Path, found: BestOfN, *, rule: str = "min") -> None:
    """Write the curves of the rule, votes, ORM and oracle as SVG, in one piece."""
    with replacing(path) as aside:
        aside.write_text(curves_svg(found.curves, rule=rule), encoding="utf-8")


def curves_svg(curves: Curves, *, rule: str = "min") -> str:
    """The same picture of curves that were measured before, as of a results.json."""
    chart = curves_chart(curves, rule, WIDE)
    top, height = -HEADING, WIDE.height + HEADING
    title = "Problems answered right when one of N chains is picked"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" width="{WIDE.width:g}" '
        f'height="{height:g}" viewBox="0 {top:g} {WIDE.width:g} {height:g}">',
        tag("style", Markup(COLORS + CHART_STYLE)),
        tag("rect", y=top, width=WIDE.width, height=height, style="fill: var(--paper)"),
        tag("text", title, class_="name", x=8, y=top + 26),
        chart[chart.index(">") + 1 :],
    ]
    return "".join(parts) + "\n"
