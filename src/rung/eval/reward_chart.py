"""What a policy was paid beside how often it was right, over the rounds of `rung rl`, as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rung.core.files import replacing
from rung.eval.charts import CHART_STYLE, COLORS, Size, drawing, ticks
from rung.eval.svg import Markup, Point, path_through, tag

SIZE = Size(880, 300, right=190, is_narrow=False)


class _Line(NamedTuple):
    name: str
    color: str
    values: tuple[tuple[int, float], ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rewards:
    """What ``metrics.jsonl`` says of looks at held-out problems: (tokens sampled, value)."""

    name: str
    accuracy: tuple[tuple[int, float], ...]
    reward: tuple[tuple[int, float], ...]


def rewards_of(name: str, rows: Iterable[Mapping[str, Any]]) -> Rewards | None:
    """The looks in the rows; None where there are none."""
    looks = [row for row in rows if row.get("held_out_accuracy") is not None]
    if not looks:
        return None
    accuracy, reward = (
        tuple((int(r["tokens_sampled"]), float(r[key])) for r in looks if r.get(key) is not None)
        for key in ("held_out_accuracy", "held_out_reward")
    )
    return Rewards(name, accuracy, reward)


def reward_chart(found: Rewards) -> Markup:
    """Accuracy on the left axis, from 0 to 1; the reward on an axis of its own, named at its end.

    Where the second rises while the first falls, the policy has learned to please and not to be
    right.
    """
    lines = [_Line("right", "prm", found.accuracy, 0.0, 1.0)]
    if found.reward:
        values = [value for _, value in found.reward]
        low, high = min(values), max(values)
        lines.append(_Line("paid", "orm", found.reward, low, high if high > low else low + 1.0))
    last = max(tokens for tokens, _ in found.accuracy) or 1

    def at(tokens: float, share: float) -> Point:
        across = (SIZE.width - SIZE.right - SIZE.left) * tokens / last
        up = (SIZE.height - SIZE.bottom - SIZE.top) * share
        return Point(SIZE.left + across, SIZE.height - SIZE.bottom - up)

    parts: list[Markup] = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        left, right = at(0, share), at(last, share)
        parts += [
            tag("line", class_="grid", x1=left.x, x2=right.x, y1=left.y, y2=left.y),
            tag("text", f"{share:.0%}", x=left.x - 8, y=left.y + 4, text_anchor="end"),
        ]
    for tokens in ticks(0, last):
        place = at(tokens, 0)
        parts.append(tag("text", f"{tokens:,.0f}", x=place.x, y=place.y + 20, text_anchor="middle"))
    parts.append(tag("text", "tokens sampled", x=SIZE.left, y=SIZE.height - 6))
    parts += [_draw(line, [at(x, _share(line, y)) for x, y in line.values]) for line in lines]
    said = ", ".join(f"{line.name} {line.values[-1][1]:.3f} at the end" for line in lines)
    return drawing(f"{found.name}: {said}", SIZE, *parts)


def write_rewards_svg(path: Path, found: Rewards) -> None:
    """The chart as a picture of its own: light and dark."""
    chart = reward_chart(found)
    opening = chart.index(">") + 1
    head = chart[:opening].replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    parts = [
        head,
        tag("style", Markup(COLORS + CHART_STYLE)),
        tag("rect", width=SIZE.width, height=SIZE.height, style="fill: var(--paper)"),
        chart[opening:],
    ]
    with replacing(path) as aside:
        aside.write_text("".join(parts) + "\n", encoding="utf-8")


def _share(line: _Line, value: float) -> float:
    return (value - line.low) / (line.high - line.low)


def _draw(line: _Line, places: Sequence[Point]) -> Markup:
    end, (_, value) = places[-1], line.values[-1]
    between = f"{value:.3g} ({line.low:.3g} to {line.high:.3g})"
    said = f"{value:.1%}" if line.name == "right" else between
    return tag(
        "g",
        tag("path", class_="line", d=path_through(places)),
        tag("circle", class_="dot", cx=end.x, cy=end.y, r=3),
        tag("text", f"{line.name} {said}", class_="series", x=end.x + 10, y=end.y + 4),
        style=f"--c: var(--{line.color})",
    )
