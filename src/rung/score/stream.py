"""Scores for streams of records that need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from rung.core.protocols import Scorer
from rung.core.types import ChainRecord

WINDOW = 256
"""Records scored together: enough to batch by length, few enough to lose to a kill."""


def score_windows(
    records: Iterable[ChainRecord], scorers: Sequence[Scorer], *, window: int = WINDOW
) -> Iterator[list[ChainRecord]]:
    """Add each scorer's scores to the records, `window` at a time, in their order.

    Chains that share steps share the work within a window. Windows are cut by count alone, so a
    stream that is cut at a multiple of `window` and gone on with gives the same windows.
    """
    stream = iter(records)
    while chunk := list(islice(stream, window)):
        for scorer in scorers:
            scores = scorer.score([record.chain for record in chunk])
            chunk = [r.with_scores(s) for r, s in zip(chunk, scores, strict=True)]
        yield chunk


def score_records(
    records: Iterable[ChainRecord], scorers: Sequence[Scorer], *, window: int = WINDOW
) -> Iterator[ChainRecord]:
    """`score_windows`, record by record."""
    for chunk in score_windows(records, scorers, window=window):
        yield from chunk
