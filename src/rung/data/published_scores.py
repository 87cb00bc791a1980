"""Step scores that others have published, and the chains that they belong to.

FoVer's file is about ProcessBench, of many models at once: a row has the chain's `id` and `scores`,
a list of step scores for each model, up to and including the first error; `min_over_all_steps` is
each model's minimum over the whole chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from rung.core.errors import InputError
from rung.core.types import ChainRecord, StepScores
from rung.data import prmbench_results
from rung.data.rows import Row
from rung.data.sources import Item, decode, read_items

FIELDS = frozenset({"id", "scores", "min_over_all_steps"})


class PublishedScoresRow(msgspec.Struct):
    """All models' scores of one chain."""

    id: str
    scores: dict[str, list[float | None]]
    min_over_all_steps: dict[str, float] = {}


def detects(row: Row) -> bool:
    """True for the published rows."""
    return set(row) >= FIELDS


def join_scores(records: Iterable[ChainRecord], source: str | Path) -> Iterator[ChainRecord]:
    """The records that have published scores, with one `StepScores` a model.

    The source holds FoVer's rows, or what PRMBench's toolkit writes (`prmbench_results`). Steps
    behind FoVer's last score get None, and `meta["min_over_all_steps"]` keeps the minima. Records
    without published scores are left out.

    Raises:
        InputError: A row can't be read, has more scores than its chain has steps, or no record
            has scores.
    """
    items = list(read_items(source))
    if _is_prmbench(items):
        yield from prmbench_results.join_results(records, items, source)
        return
    rows = _rows(items)
    found = 0
    for record in records:
        row = rows.get(record.chain.id or "")
        if row is not None:
            found += 1
            yield _with_scores(record, row, str(source))
    if not found:
        raise InputError("no chain here has an id that these scores are for", file=str(source))


def _is_prmbench(items: Sequence[Item]) -> bool:
    try:
        first = decode(items[0].content) if items else None
    except (ValueError, msgspec.DecodeError):
        return False  # whoever reads the row says what is wrong with it
    return isinstance(first, dict) and prmbench_results.detects(first)


def _rows(items: Iterable[Item]) -> Mapping[str, PublishedScoresRow]:
    rows: dict[str, PublishedScoresRow] = {}
    for item in items:
        try:
            row = msgspec.convert(decode(item.content), PublishedScoresRow)
        except (ValueError, msgspec.DecodeError) as error:
            raise InputError(
                f"this is not a row of published scores ({error})", file=item.file, line=item.line
            ) from error
        rows[row.id] = row
    return rows


def _with_scores(record: ChainRecord, row: PublishedScoresRow, file: str) -> ChainRecord:
    num_steps = len(record.chain.steps)
    for model, scores in row.scores.items():
        missing = num_steps - len(scores)
        if missing < 0:
            raise InputError(
                f"{row.id!r}: {len(scores)} scores by {model} for {num_steps} steps", file=file
            )
        try:
            padded = StepScores((*scores, *(None,) * missing), model)
        except ValueError as error:
            raise InputError(f"{row.id!r}, {model}: {error}", file=file) from error
        record = record.with_scores(padded)
    meta = {**record.meta, "min_over_all_steps": row.min_over_all_steps}
    return replace(record, meta=meta)
