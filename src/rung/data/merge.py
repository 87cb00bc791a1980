"""Chains that several files tell of: one record each, with all that the files know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rung.core.types import ChainRecord

_Key = tuple[str | None, str]


def merge_records(files: Sequence[Iterable[ChainRecord]]) -> list[ChainRecord]:
    """All records of all files; those of the same chain that different scorers have read are one.

    Chains are the same when their ids and steps are; the second such chain of one file belongs to
    the second of another. Records that share a scorer stay apart: they are samples that happen to
    be equal. Where two files differ in a label source's labels, a verdict or `meta`, the earlier
    file counts.
    """
    merged: list[ChainRecord] = []
    places: dict[tuple[_Key, int], int] = {}
    for records in files:
        nth: dict[_Key, int] = {}
        for record in records:
            key = (record.chain.id, record.chain.prefix_id)
            nth[key] = nth.get(key, 0) + 1
            place = places.setdefault((key, nth[key]), len(merged))
            if place == len(merged) or _scorers(merged[place]) & _scorers(record):
                merged.append(record)
            else:
                merged[place] = _together(merged[place], record)
    return merged


def _scorers(record: ChainRecord) -> set[str]:
    return {scores.scorer for scores in record.scores}


def _together(first: ChainRecord, second: ChainRecord) -> ChainRecord:
    known = {labels.source for labels in first.labels}
    return ChainRecord(
        first.chain,
        (*first.labels, *(y for y in second.labels if y.source not in known)),
        (*first.scores, *second.scores),
        second.outcome if first.outcome is None else first.outcome,
        {**second.meta, **first.meta},
    )
