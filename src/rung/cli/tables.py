"""What the tables of `rung eval` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rung.eval import Estimate


def show_skips(console: Console, skips: Mapping[str, Any]) -> None:
    """How many rows and chains the input left out."""
    if skips["skipped_rows"]:
        console.print(f"{skips['skipped_rows']} rows left out: they could not be read")
    if skips["chains_not_in_scores"]:
        console.print(
            f"{skips['chains_not_in_scores']} chains left out: the file has no scores for them"
        )


def new_table(first: str, *columns: str) -> Table:
    """An open table: the first column is words, the others numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def fitting(widths: Sequence[int], room: int) -> list[range]:
    """Columns of these widths cut into runs that have room, two blanks before each."""
    room -= 2  # behind the last one
    starts, left = [0], room
    for k, width in enumerate(widths):
        left -= width + 2
        if left < 0 and k > starts[-1]:
            starts.append(k)
            left = room - width - 2
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(widths)], strict=True)]


def plain(estimate: Estimate | None) -> str:
    """A number with its interval in brackets."""
    return _bracketed(estimate, ".3f")


def in_percent(estimate: Estimate | None) -> str:
    """The same in percent."""
    return _bracketed(estimate, ".1%")


def _bracketed(estimate: Estimate | None, form: str) -> str:
    if estimate is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def stacked(estimate: Estimate | None) -> str:
    """In percent, with the interval on a line of its own."""
    if estimate is None:
        return "–"
    bounds = (
        ""
        if estimate.low is None or estimate.high is None
        else f"\n{100 * estimate.low:.0f}–{100 * estimate.high:.0f}"
    )
    return f"{100 * estimate.value:.1f}{bounds}"
