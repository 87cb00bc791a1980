"""Wrong labels over tokens, drawn from results.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pages import IMAGES

from rung.core.files import replacing
from rung.eval.share_chart import Series, Share, share_chart

PICTURE = IMAGES / "label-error.svg"
TITLE = "Step labels by rollouts: how many are wrong, and what they cost"


class Look(NamedTuple):
    """How a method's line is drawn."""

    color: str
    dash: str
    k_at: tuple[float, float]


LOOKS = {
    "fixed": Look("prm", "none", (6, -6)),
    "adaptive, hard": Look("orm", "10 4", (6, 16)),
    "adaptive, soft": Look("majority", "4 3", (6, -6)),
    "omega": Look("weighted", "8 3 2 3", (-14, -8)),
}


def write_picture(results: Mapping[str, Any], path: Path) -> None:
    """Write the picture as SVG, light and dark."""
    with replacing(path) as aside:
        aside.write_text(picture(results), encoding="utf-8")


def picture(results: Mapping[str, Any]) -> str:
    """One line a method through its K, with bootstrap intervals."""
    series: list[Series] = []
    for name, look in LOOKS.items():
        rows = [row for row in results["rows"] if row["method"] == name]
        costs = [Share(row["tokens"], **row["label_error"], mark=str(row["k"])) for row in rows]
        series.append(Series(name, costs, look.color, look.dash, look.k_at))
    return share_chart(
        TITLE,
        series,
        across="tokens sampled for all chains",
        about=("Beside each point: K.", "Bars: 95% intervals."),
    )
