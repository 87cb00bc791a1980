"""Accuracy over tokens for every search, drawn from results.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rung.core.files import replacing
from rung.eval.share_chart import Series, Share, share_chart


class Look(NamedTuple):
    """How a search's line is drawn."""

    color: str
    dash: str
    n_at: tuple[float, float]


LOOKS = {
    "best-of-n": Look("prm", "none", (6, 16)),
    "weighted": Look("prm", "2 5", (6, -6)),
    "abort": Look("orm", "none", (-16, -8)),
    "mcts": Look("majority", "none", (-4, -10)),
    "adaptive": Look("orm", "4 3", (6, 16)),
    "particles": Look("weighted", "none", (6, 14)),
    "dvts": Look("majority", "4 3", (6, -6)),
    "rebase": Look("weighted", "4 3", (6, 14)),
    "beam": Look("oracle", "10 4", (6, 14)),
}
"""With the PRM. Lookahead and particle Gibbs stand in the table alone."""


def write_picture(results: Mapping[str, Any], path: Path) -> None:
    """Write the picture as SVG, light and dark."""
    with replacing(path) as aside:
        aside.write_text(picture(results), encoding="utf-8")


def picture(results: Mapping[str, Any]) -> str:
    """One line a search through its sizes, with bootstrap intervals."""
    series = [
        Series(name, costs, look.color, look.dash, look.n_at)
        for name, look in LOOKS.items()
        if (costs := _costs(results, name))
    ]
    return share_chart(
        "Searches with a PRM: problems solved, and what they cost",
        series,
        across="tokens a problem, sampled and scored",
        about=("Beside each point: N.", "Bars: 95% intervals."),
        low=results["picture_from"],
        high=1.0,
    )


def _costs(results: Mapping[str, Any], algorithm: str) -> list[Share]:
    rows = [
        row
        for row in results["rows"]
        if (row["scorer"], row["algorithm"], row["look_every"]) == ("prm", algorithm, None)
    ]
    narrowest = {row["n"]: row for row in sorted(rows, key=lambda row: -row["width"])}
    return [
        Share(row["sampled"] + row["scored"], **row["accuracy"], mark=str(row["n"]))
        for row in narrowest.values()
    ]
