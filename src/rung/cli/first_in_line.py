"""`--only N --first HOW`: which chains a costly labeler is asked about."""

from __future__ import annotations

from collections.abc import Sequence

from rung.core import ChainRecord, RungError
from rung.label.next import First, next_to_label

UNTOLD: First = "doubt"
"""What comes first where nobody says what does."""


def check_first(only: int | None, first: First | None) -> None:
    """Refuse an order of chains where all are taken.

    Raises:
        RungError: It is so.
    """
    if first is not None and only is None:
        raise RungError(f"--first {first} says which N chains come first; give --only N too")


def first_in_line(
    records: Sequence[ChainRecord], only: int, first: First | None = None
) -> set[int]:
    """The places of the `only` chains that come first; without `first` the `UNTOLD`.

    Raises:
        RungError: No chain has scores, or an outcome where it takes outcomes to tell.
    """
    if not any(record.scores for record in records):
        raise RungError("--only: no chain has scores to tell which come first; see 'rung score'")
    if first == "convincing" and all(record.outcome is None for record in records):
        raise RungError("--first convincing: no chain has an outcome; see 'rung label verify'")
    return {choice.index for choice in next_to_label(records, only, first=first or UNTOLD)}
