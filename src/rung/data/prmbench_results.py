"""What PRMBench's own toolkit leaves behind: step scores of its chains.

A row has `idx` ("CLASS_IDX") and `scores` with `step_level_validity_scores`; `validity` is false
where the toolkit got no answer. As the toolkit reads and writes them:
https://github.com/ssmisya/PRMBench/blob/a1ae4eab803e14c4c6316bf89d1679b0486faa8c/mr_eval/tasks/prmtest_classified/task.py#L54
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from rung.core.errors import InputError
from rung.core.types import ChainRecord, StepScores
from rung.core.urls import name_of
from rung.data.rows import Row
from rung.data.sources import Item, decode


class _Scores(msgspec.Struct):
    step_level_validity_scores: list[float]


class _Result(msgspec.Struct):
    idx: str
    scores: _Scores | None = None
    validity: bool = True


def detects(row: Row) -> bool:
    """True for the toolkit's results."""
    return "idx" in row and ("scores" in row or "validity" in row)


def prmbench_key(record: ChainRecord) -> str | None:
    """The name of a PRMBench chain in results, "CLASS_IDX"; None for other chains."""
    kind, number = record.meta.get("classification"), record.meta.get("idx")
    if kind is None or number is None:
        return None
    return f"{kind}_{str(number).removeprefix(f'{kind}_')}"


def join_results(
    records: Iterable[ChainRecord], items: Iterable[Item], source: str | Path
) -> Iterator[ChainRecord]:
    """The records that have results; their scorer is called as the file is.

    Five names of PRMBench stand for two chains each: the first result of a name goes to the first
    of them, a second one to the second. Records without a result are left out.

    Raises:
        InputError: A row can't be read or doesn't fit its chain, or no record has results.
    """
    waiting: dict[str, list[tuple[_Result, Item]]] = {}
    for item in items:
        result = _read(item)
        waiting.setdefault(result.idx, []).append((result, item))
    scorer = Path(name_of(source)).name.split(".")[0]
    found = 0
    for record in records:
        results = waiting.get(prmbench_key(record) or "")
        if results:
            found += 1
            yield _with_scores(record, *results.pop(0), scorer)
    if not found:
        raise InputError("no chain here is one that these results are for", file=str(source))


def _read(item: Item) -> _Result:
    try:
        return msgspec.convert(decode(item.content), _Result)
    except (ValueError, msgspec.DecodeError) as error:
        reason = f"this is not a row of PRMBench results ({error})"
        raise InputError(reason, file=item.file, line=item.line) from error


def _with_scores(record: ChainRecord, result: _Result, item: Item, scorer: str) -> ChainRecord:
    if not result.validity or result.scores is None:
        return record
    scores, num_steps = result.scores.step_level_validity_scores, len(record.chain.steps)
    if len(scores) != num_steps:
        reason = f"{result.idx!r}: {len(scores)} scores for {num_steps} steps"
        raise InputError(reason, file=item.file, line=item.line)
    try:
        return record.with_scores(StepScores(tuple(scores), scorer))
    except ValueError as error:
        raise InputError(f"{result.idx!r}: {error}", file=item.file, line=item.line) from error
