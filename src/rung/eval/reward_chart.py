"""What a policy was paid beside how often it was right, over the rounds of `rung rl`, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rung.core.files import replacing
from rung.eval.charts import CHART_STYLE, COLORS, Size, drawing, ticks
from rung.eval.svg import Markup, Point, path_through, spread, tag
from rung.label.intervals import Interval, wilson

SIZE = Size(880, 300, right=190, is_narrow=False)
A_LINE = 18.0
"""Of text, from one to the next."""


class Look(NamedTuple):
    """What one look at held-out problems found."""

    tokens: int
    """Sampled until then."""
    value: float
    interval: Interval | None
    """Of 95% over problems; None where the log doesn't say enough for one."""

    @property
    def ends(self) -> Interval:
        """The interval's ends; the value twice where there is none."""
        return self.interval or Interval(self.value, self.value)


class _Line(NamedTuple):
    name: str
    color: str
    looks: tuple[Look, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rewards:
    """What ``metrics.jsonl`` says of looks at held-out problems."""

    name: str
    accuracy: tuple[Look, ...]
    reward: tuple[Look, ...]


def accuracy_interval(row: Mapping[str, Any]) -> Interval | None:
    """Wilson's interval of a row's ``held_out_accuracy``, a share of problems.

    With several chains a problem it is too wide rather than too narrow: a mean of shares varies
    less than one of single answers. Older trainings don't say how many problems there were.
    """
    total = row.get("held_out_problems")
    return wilson(float(row["held_out_accuracy"]), total) if total else None


def reward_interval(row: Mapping[str, Any]) -> Interval | None:
    """The interval of a row's ``held_out_reward`` that its spread over problems gives."""
    error, total = row.get("held_out_reward_error"), row.get("held_out_problems")
    if error is None or total is None or total < 2:
        return None
    mean, half = float(row["held_out_reward"]), 1.96 * float(error)
    return Interval(mean - half, mean + half)


def rewards_of(name: str, rows: Iterable[Mapping[str, Any]]) -> Rewards | None:
    """The looks in the rows; None where there are none."""
    looks = [row for row in rows if row.get("held_out_accuracy") is not None]
    if not looks:
        return None
    paid = [row for row in looks if row.get("held_out_reward") is not None]
    return Rewards(
        name,
        tuple(_look(row, "held_out_accuracy", accuracy_interval(row)) for row in looks),
        tuple(_look(row, "held_out_reward", reward_interval(row)) for row in paid),
    )


def reward_chart(found: Rewards) -> Markup:
    """Accuracy on the left axis, from 0 to 1; the reward on an axis of its own, named at its end.

    The bands are 95% intervals over problems.

    Where the second rises while the first falls, the policy has learned to please and not to be
    right.
    """
    lines = [_Line("right", "prm", found.accuracy, 0.0, 1.0)]
    if found.reward:
        low = min(look.ends.low for look in found.reward)
        high = max(look.ends.high for look in found.reward)
        lines.append(_Line("paid", "orm", found.reward, low, high if high > low else low + 1.0))
    last = max(look.tokens for look in found.accuracy) or 1

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
    ends = [at(last, _share(line, line.looks[-1].value)).y for line in lines]
    names = spread(ends, A_LINE, SIZE.top, SIZE.height - SIZE.bottom)
    for line, beside in zip(lines, names, strict=True):
        parts.append(_draw(line, lambda x, y, line=line: at(x, _share(line, y)), beside))
    said = ", ".join(f"{line.name} {_said(line.looks[-1])} at the end" for line in lines)
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


def _look(row: Mapping[str, Any], key: str, interval: Interval | None) -> Look:
    return Look(int(row["tokens_sampled"]), float(row[key]), interval)


def _said(look: Look) -> str:
    between = "" if look.interval is None else " ({:.3f} to {:.3f})".format(*look.interval)
    return f"{look.value:.3f}{between}"


def _share(line: _Line, value: float) -> float:
    return (value - line.low) / (line.high - line.low)


def _draw(line: _Line, at: Callable[[int, float], Point], beside: float) -> Markup:
    value = line.looks[-1].value
    end = at(line.looks[-1].tokens, value)
    between = f"{value:.3g} ({line.low:.3g} to {line.high:.3g})"
    said = f"{value:.1%}" if line.name == "right" else between
    known = [look for look in line.looks if look.interval is not None]
    upper = [at(look.tokens, look.ends.high) for look in known]
    lower = [at(look.tokens, look.ends.low) for look in reversed(known)]
    band = tag("path", class_="band", d=path_through([*upper, *lower]) + "Z")
    return tag(
        "g",
        *([band] if known else []),
        tag("path", class_="line", d=path_through([at(x, y) for x, y, _ in line.looks])),
        tag("circle", class_="dot", cx=end.x, cy=end.y, r=3),
        tag("text", f"{line.name} {said}", class_="series", x=end.x + 10, y=beside + 4),
        style=f"--c: var(--{line.color})",
    )
