"""A training's losses over its steps, as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rung.eval.charts import Size, drawing, ticks
from rung.eval.svg import Markup, Point, path_through, tag

SIZE = Size(880, 260, right=150, is_narrow=False)
POINTS = 80
"""The training loss is shown as means of about so many equal parts."""


@dataclass(frozen=True, slots=True)
class Losses:
    """What ``metrics.jsonl`` says of one training: (step, loss), in order."""

    name: str
    training: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, float], ...]


def losses_of(name: str, rows: Iterable[Mapping[str, Any]]) -> Losses | None:
    """The losses in the rows; None where there are none."""
    rows = [row for row in rows if "step" in row]
    training, validation = (
        tuple((int(row["step"]), float(row[key])) for row in rows if row.get(key) is not None)
        for key in ("loss", "validation_loss")
    )
    return Losses(name, training, validation) if training or validation else None


def loss_chart(found: Losses) -> Markup:
    """Training loss (means of neighboring steps) and validation loss."""
    lines = {"training": _smooth(found.training), "validation": list(found.validation)}
    points = [point for line in lines.values() for point in line]
    values = [value for _, value in points]
    low, high = min(values), max(values)
    high = high if high > low else low + 1.0
    last = max(step for step, _ in points) or 1

    def at(step: float, value: float) -> Point:
        across = (SIZE.width - SIZE.right - SIZE.left) * step / last
        up = (SIZE.height - SIZE.bottom - SIZE.top) * (value - low) / (high - low)
        return Point(SIZE.left + across, SIZE.height - SIZE.bottom - up)

    parts: list[Markup] = []
    for value in ticks(low, high):
        left, right = at(0, value), at(last, value)
        parts += [
            tag("line", class_="grid", x1=left.x, x2=right.x, y1=left.y, y2=left.y),
            tag("text", f"{value:.3g}", x=left.x - 8, y=left.y + 4, text_anchor="end"),
        ]
    for step in ticks(0, last):
        place = at(step, low)
        label = f"{step:g}"
        parts.append(tag("text", label, x=place.x, y=place.y + 20, text_anchor="middle"))
    parts.append(tag("text", "optimizer step", x=SIZE.left, y=SIZE.height - 6))
    colors = {"training": "majority", "validation": "prm"}
    parts += [
        _line(name, [at(*point) for point in line], colors[name])
        for name, line in lines.items()
        if line
    ]
    said = ", ".join(f"{name} {line[-1][1]:.3f} at the end" for name, line in lines.items() if line)
    return drawing(f"Losses of {found.name}: {said}", SIZE, *parts)


def _smooth(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    size = max(1, len(points) // POINTS)
    parts = [points[k : k + size] for k in range(0, len(points), size)]
    return [
        (sum(step for step, _ in part) / len(part), sum(value for _, value in part) / len(part))
        for part in parts
    ]


def _line(name: str, places: Sequence[Point], color: str) -> Markup:
    end = places[-1]
    return tag(
        "g",
        tag("path", class_="line", d=path_through(places)),
        tag("circle", class_="dot", cx=end.x, cy=end.y, r=3),
        tag("text", name, class_="series", x=end.x + 10, y=end.y + 4),
        style=f"--c: var(--{color})",
    )
