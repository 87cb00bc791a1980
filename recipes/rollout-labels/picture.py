"""Wrong labels over tokens, drawn from results.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rung.core.files import replacing
from rung.eval.charts import CHART_STYLE, COLORS, HEADING, Size, ticks
from rung.eval.svg import Markup, Point, join, path_through, tag

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "label-error.svg"
SIZE = Size(880, 430, right=208, is_narrow=False)
TITLE = "Step labels by rollouts: how many are wrong, and what they cost"


class Look(NamedTuple):
    """How a method's line is drawn."""

    color: str
    dash: str
    k_at: tuple[float, float]
    """Where K stands beside a point; methods differ, so that near points keep theirs apart."""


LOOKS = {
    "fixed": Look("prm", "none", (6, -6)),
    "adaptive, hard": Look("orm", "10 4", (6, 16)),
    "adaptive, soft": Look("majority", "4 3", (6, -6)),
    "omega": Look("weighted", "8 3 2 3", (-14, -8)),
}


class Axes(NamedTuple):
    """From tokens (log scale) and shares to places."""

    low_tokens: float
    high_tokens: float
    high: float

    def at(self, tokens: float, share: float) -> Point:
        """The place of a point."""
        span = math.log(self.high_tokens / self.low_tokens)
        across = math.log(tokens / self.low_tokens) / span
        width = SIZE.width - SIZE.right - SIZE.left
        height = SIZE.height - SIZE.bottom - SIZE.top
        return Point(
            SIZE.left + across * width, SIZE.height - SIZE.bottom - share / self.high * height
        )


def write_picture(results: Mapping[str, Any], path: Path) -> None:
    """Write the picture as SVG, light and dark."""
    with replacing(path) as aside:
        aside.write_text(picture(results), encoding="utf-8")


def picture(results: Mapping[str, Any]) -> str:
    """One line a method through its K, with bootstrap intervals; the tokens on a log scale."""
    rows = [row for row in results["rows"] if row["method"] in LOOKS]
    tokens = [row["tokens"] for row in rows]
    high = math.ceil(max(row["label_error"]["high"] for row in rows) * 20) / 20
    axes = Axes(min(tokens) * 0.85, max(tokens) * 1.15, high)
    top, height = -HEADING, SIZE.height + HEADING
    parts = [
        tag("style", Markup(COLORS + CHART_STYLE)),
        tag("rect", y=top, width=SIZE.width, height=height, style="fill: var(--paper)"),
        tag("text", TITLE, class_="name", x=8, y=top + 26),
        _frame(axes),
        *(
            _line(axes, look, [row for row in rows if row["method"] == name])
            for name, look in LOOKS.items()
        ),
        _legend(),
    ]
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="{TITLE}" '
        f'width="{SIZE.width:g}" height="{height:g}" '
        f'viewBox="0 {top:g} {SIZE.width:g} {height:g}">'
    )
    return f"{opening}{join(parts)}</svg>\n"


def _frame(axes: Axes) -> Markup:
    parts: list[Markup] = []
    for share in ticks(0, axes.high):
        start, end = axes.at(axes.low_tokens, share), axes.at(axes.high_tokens, share)
        kind = "grid" if share else "zero"
        parts.append(tag("line", class_=kind, x1=start.x, x2=end.x, y1=start.y, y2=end.y))
        said = f"{100 * share:.0f}%"
        parts.append(tag("text", said, x=start.x - 8, y=start.y + 4, text_anchor="end"))
    for tokens in (10_000, 20_000, 50_000, 100_000, 200_000, 500_000):
        if axes.low_tokens <= tokens <= axes.high_tokens:
            place = axes.at(tokens, 0)
            said = f"{tokens // 1000}k"
            parts.append(tag("text", said, x=place.x, y=place.y + 20, text_anchor="middle"))
    middle = (SIZE.left + SIZE.width - SIZE.right) / 2
    what = "tokens sampled for all chains (log scale)"
    parts.append(tag("text", what, x=middle, y=SIZE.height - 6, text_anchor="middle"))
    return join(parts)


def _line(axes: Axes, look: Look, rows: Sequence[Mapping[str, Any]]) -> Markup:
    rows = sorted(rows, key=lambda row: row["tokens"])
    parts: list[Markup] = []
    for row in rows:
        low, high = (axes.at(row["tokens"], row["label_error"][key]) for key in ("low", "high"))
        parts.append(tag("line", class_="leader", x1=low.x, x2=high.x, y1=low.y, y2=high.y))
    line = [axes.at(row["tokens"], row["label_error"]["value"]) for row in rows]
    parts.append(tag("path", class_="line", d=path_through(line), stroke_dasharray=look.dash))
    for row, place in zip(rows, line, strict=True):
        parts.append(tag("circle", class_="dot", cx=place.x, cy=place.y, r=4))
        right, down = look.k_at
        at = Point(place.x + right, place.y + down)
        parts.append(tag("text", str(row["k"]), class_="series", x=at.x, y=at.y))
    return tag("g", *parts, style=f"--c: var(--{look.color})")


def _legend() -> Markup:
    left, parts = SIZE.width - SIZE.right + 16, list[Markup]()
    for k, (name, look) in enumerate(LOOKS.items()):
        y = SIZE.top + 16 + 24 * k
        sample = path_through([Point(left, y), Point(left + 34, y)])
        parts.append(
            tag(
                "g",
                tag("path", class_="line", d=sample, stroke_dasharray=look.dash),
                tag("text", name, class_="series", x=left + 42, y=y + 4),
                style=f"--c: var(--{look.color})",
            )
        )
    about = ("Beside each point: K.", "Bars: 95% intervals.")
    for k, said in enumerate(about):
        parts.append(tag("text", said, x=left, y=SIZE.top + 130 + 20 * k))
    return join(parts)
