"""Chains as notebooks show them: a table, each step tinted by its score. Everything is escaped.

Plain inline styles, since a notebook has no style sheet of ours; tints are transparent and the
text keeps the notebook's color, so that light and dark both read. Blue is right and orange wrong,
never without a number or a sign.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rung.core.types import Chain, ChainRecord, Verdict

RIGHT, WRONG = "31, 119, 218", "217, 95, 2"
"""As red, green, blue."""
STRONGEST_TINT = 0.45
MAX_STEPS = 200
"""Further steps are counted and not shown."""
OUTCOMES = {
    "correct": "✓ right answer",
    "incorrect": "✗ wrong answer",
    "unparsed": "? no answer that could be read",
    "timeout": "? not checked in time",
}


class _Column(NamedTuple):
    name: str
    values: Sequence[float | None]
    say: Callable[[float], str]


def chain_html(chain: Chain) -> str:
    """A chain without opinions on it."""
    return _page(chain, (), None)


def record_html(record: ChainRecord) -> str:
    """A chain with all its scores and labels, a column each; the first column tints the steps."""
    scores = [_Column(s.scorer, s.scores, _score) for s in record.scores]
    labels = [_Column(y.source, y.labels, _label) for y in record.labels]
    return _page(record.chain, [*scores, *labels], record.outcome)


def _page(chain: Chain, columns: Sequence[_Column], outcome: Verdict | None) -> str:
    names = "".join(_cell("th", escape(column.name)) for column in columns)
    head = f"<tr>{_cell('th', '')}{_cell('th', 'step')}{names}</tr>"
    rows = "".join(_row(chain, columns, place) for place in range(len(chain.steps[:MAX_STEPS])))
    more = len(chain.steps) - MAX_STEPS
    left_out = f"<p>… and {more} more steps</p>" if more > 0 else ""
    return (
        f'<div style="max-width: 60em"><p style="{_WRAP}">{escape(chain.problem.question)}</p>'
        f'<table style="border-collapse: collapse"><thead>{head}</thead><tbody>{rows}</tbody>'
        f"</table>{left_out}<p>{_foot(chain, outcome)}</p></div>"
    )


_WRAP = "white-space: pre-wrap; overflow-wrap: anywhere; text-align: left"
_CELL = "text-align: left; vertical-align: top; padding: 2px 8px; white-space: nowrap"


def _row(chain: Chain, columns: Sequence[_Column], place: int) -> str:
    shown = columns[0].values[place] if columns else None
    text = _cell("td", escape(chain.steps[place].text), f"{_WRAP}; {_tint(shown)}")
    said = "".join(_opinion(column, place) for column in columns)
    return f"<tr>{_cell('td', str(place + 1))}{text}{said}</tr>"


def _opinion(column: _Column, place: int) -> str:
    value = column.values[place]
    said = "–" if value is None else column.say(value)
    wrong = (k for k, one in enumerate(column.values) if one is not None and one < 0.5)
    is_first = place == next(wrong, None)
    return _cell("td", f"<b>{said} first error</b>" if is_first else said, _tint(value))


def _score(value: float) -> str:
    return f"{_sign(value)} {value:.2f}"


def _label(value: float) -> str:
    return _sign(value) if value in (0, 1) else _score(value)


def _sign(value: float) -> str:
    return "✓" if value >= 0.5 else "✗"


def _tint(value: float | None) -> str:
    if value is None:
        return ""
    color = RIGHT if value >= 0.5 else WRONG
    return f"background: rgba({color}, {STRONGEST_TINT * abs(2 * value - 1):.2f})"


def _cell(name: str, content: str, style: str = "") -> str:
    return f'<{name} style="{_CELL}; {style}">{content}</{name}>'


def _foot(chain: Chain, outcome: Verdict | None) -> str:
    parts = [] if chain.answer is None else [f"answer: {escape(chain.answer)}"]
    if chain.problem.answer is not None:
        parts.append(f"reference: {escape(chain.problem.answer)}")
    parts += [] if outcome is None else [OUTCOMES[outcome]]
    return " · ".join(parts)
