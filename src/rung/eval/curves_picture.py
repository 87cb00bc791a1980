"""The curves as a picture of its own, for a README: light and dark, no page needed."""

from __future__ import annotations

from pathlib import Path

from rung.core.files import replacing
from rung.eval.charts import WIDE, Curves, curves_chart, in_one_piece
from rung.eval.curves import BestOfN


def write_curves_svg(path: Path, found: BestOfN, *, rule: str = "min") -> None:
    """Write the curves of the rule, votes, ORM and oracle as SVG, in one piece."""
    with replacing(path) as aside:
        aside.write_text(curves_svg(found.curves, rule=rule), encoding="utf-8")


def curves_svg(curves: Curves, *, rule: str = "min") -> str:
    """The same picture of curves that were measured before, as of a results.json."""
    title = "Problems answered right when one of N chains is picked"
    return in_one_piece(title, WIDE, curves_chart(curves, rule, WIDE))
