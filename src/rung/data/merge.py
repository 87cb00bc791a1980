"""Chains that several files tell of: one record each, with all that the files know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rung.core.types import ChainRecord

_Key = tuple[str | None, str]


def merge_records(files: Sequence[Iterable[ChainRecord]]) -> list[ChainRecord]:
    """All records of all files; those of one chain that other scorers have read are one.

    Chains are the same when their ids and steps are; the second such chain of one file belongs to
    the second of another. Records with the same scorers stay apart, samples that happen to be
    equal, and so do those that one scorer has scored differently. Where two files differ in a label
    source's labels, a verdict or `meta`, the earlier file counts.
    """
    merged: list[ChainRecord] = []
    places: dict[tuple[_Key, int], int] = {}
    for records in files:
        nth: dict[_Key, int] = {}
        for record in records:
            key = (record.chain.id, record.chain.prefix_id)
            nth[key] = nth.get(key, 0) + 1
            place = places.setdefault((key, nth[key]), len(merged))
            if place < len(merged) and _belong(merged[place], record):
                merged[place] = _together(merged[place], record)
            else:
                merged.append(record)
    return merged


def _belong(first: ChainRecord, second: ChainRecord) -> bool:
    """Whether other scorers have read them, and those who read both say the same."""
    names, others = ({scores.scorer for scores in one.scores} for one in (first, second))
    return names != others and all(
        first.scores_by(name) == second.scores_by(name) for name in names & others
    )


def _together(first: ChainRecord, second: ChainRecord) -> ChainRecord:
    labeled = {labels.source for labels in first.labels}
    scored = {scores.scorer for scores in first.scores}
    return ChainRecord(
        first.chain,
        (*first.labels, *(y for y in second.labels if y.source not in labeled)),
        (*first.scores, *(s for s in second.scores if s.scorer not in scored)),
        second.outcome if first.outcome is None else first.outcome,
        {**second.meta, **first.meta},
    )
