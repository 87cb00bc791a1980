"""A tiny SVG writer: elements as text, everything escaped, numbers short."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple


class Markup(str):
    """Text that is markup already; plain strings are escaped."""

    __slots__ = ()

    def __html__(self) -> str:
        """Tells Jinja that this is markup."""
        return str(self)


class Point(NamedTuple):
    """A place on the drawing, in its own units."""

    x: float
    y: float


def tag(name: str, *children: str, **attributes: str | float) -> Markup:
    """One element; ``class_`` is class, underscores in names are hyphens."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
    )
    inside = "".join(
        child if isinstance(child, Markup) else escape(child, quote=False) for child in children
    )
    return Markup(f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>")


def join(parts: Iterable[Markup]) -> Markup:
    """Markup one after the other."""
    return Markup("".join(parts))


def path_through(points: Sequence[Point]) -> str:
    """The `d` of a line through the points."""
    return "M" + "L".join(f"{_number(x)},{_number(y)}" for x, y in points)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, in the same order, at least `gap` apart.

    They stay between `low` and `high` where there is room for all.
    """
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    placed: list[float] = []
    for index in order:
        floor = placed[-1] + gap if placed else low
        placed.append(max(wanted[index], floor))
    ceiling = high
    for k in range(len(placed) - 1, -1, -1):
        placed[k] = min(placed[k], ceiling)
        ceiling = placed[k] - gap
    result = [0.0] * len(wanted)
    for index, position in zip(order, placed, strict=True):
        result[index] = position
    return result


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
