"""A file's chains as documents: an index without texts, and pages with all there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from rung.core import AGGREGATIONS, ChainRecord, Skipped
from rung.core.types import Problem
from rung.data import load
from rung.eval.choose import label_sources_of, reads_every_step, scorers_of
from rung.serve.view.documents import (
    ChainIndex,
    ChainLabels,
    ChainPage,
    ChainRow,
    ChainScores,
    ChainView,
    ProblemEntry,
    ScorerEntry,
)

CHAINS_A_PAGE = 50
RULE = "min"
EXCERPT_CHARS = 300
PLACES = 3


@dataclass(frozen=True, slots=True)
class ChainFile:
    """A file's chains."""

    name: str
    records: list[ChainRecord]
    skipped: Skipped


def read_chains(path: Path, name: str) -> ChainFile:
    """Read a file; rows that can't be read (a run may be writing) are counted.

    Raises:
        InputError: The file can't be read at all.
    """
    skipped = Skipped()
    return ChainFile(name, list(load(path, skipped=skipped)), skipped)


def index_of(file: ChainFile) -> ChainIndex:
    """The list of all chains."""
    records = file.records
    scorers = tuple(ScorerEntry(s, reads_every_step(records, s)) for s in scorers_of(records))
    sources = tuple(label_sources_of(records))
    problems: dict[str, Problem] = {}
    for record in records:
        problems.setdefault(record.chain.problem.root_id, record.chain.problem)
    places = {root: place for place, root in enumerate(problems)}
    return ChainIndex(
        file=file.name,
        scorers=scorers,
        sources=sources,
        rule=RULE,
        chains_a_page=CHAINS_A_PAGE,
        problems=tuple(
            ProblemEntry(p.id, excerpt(p.question), p.answer) for p in problems.values()
        ),
        rows=tuple(_row(record, places, scorers, sources) for record in records),
        skipped=file.skipped.count,
        reasons=tuple(file.skipped.reasons),
    )


def num_pages(file: ChainFile) -> int:
    """How many pages there are; an empty file has none."""
    return -(-len(file.records) // CHAINS_A_PAGE)


def page_of(file: ChainFile, page: int) -> ChainPage:
    """One page, from 0 on."""
    start = page * CHAINS_A_PAGE
    return ChainPage(tuple(map(view_of, file.records[start : start + CHAINS_A_PAGE])))


def view_of(record: ChainRecord) -> ChainView:
    """All that is known of a chain."""
    chain = record.chain
    notes = {y.source: _notes(record.meta.get(y.source), len(chain.steps)) for y in record.labels}
    rest = {key: value for key, value in record.meta.items() if not notes.get(key)}
    return ChainView(
        id=chain.id,
        problem=chain.problem,
        steps=chain.steps,
        answer=chain.answer,
        outcome=record.outcome,
        source=chain.source,
        scores=tuple(ChainScores(s.scorer, s.scores, _values(s.known)) for s in record.scores),
        labels=tuple(
            ChainLabels(y.source, y.labels, y.ratings, y.counts, notes[y.source])
            for y in record.labels
        ),
        meta=_as_json(rest),
    )


def excerpt(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= EXCERPT_CHARS else text[: EXCERPT_CHARS - 1].rstrip() + "…"


def _row(
    record: ChainRecord,
    places: Mapping[str, int],
    scorers: Sequence[ScorerEntry],
    sources: Sequence[str],
) -> ChainRow:
    scored = [record.scores_by(scorer.name) for scorer in scorers]
    labeled = [record.labels_from(source) for source in sources]
    scores = tuple(None if s is None else _rounded(s.scores) for s in scored)
    labels = tuple(None if y is None else _rounded(y.labels) for y in labeled)
    every_step = [
        s for s, scorer in zip(scores, scorers, strict=True) if s and scorer.reads_every_step
    ]
    rule = AGGREGATIONS[RULE]
    return ChainRow(
        problem=places[record.chain.problem.root_id],
        id=record.chain.id,
        answer=record.chain.answer,
        outcome=record.outcome,
        num_steps=len(record.chain.steps),
        scores=scores,
        values=tuple(rule(s.known) if s is not None and s.known else None for s in scored),
        labels=labels,
        spread=_spread([*every_step, *(y for y in labels if y is not None)]),
    )


def _rounded(values: Iterable[float | None]) -> tuple[float | None, ...]:
    return tuple(None if value is None else round(value, PLACES) for value in values)


def _spread(opinions: Sequence[Sequence[float | None]]) -> float | None:
    """The largest distance between two opinions of one step."""
    by_step = ([v for v in step if v is not None] for step in zip(*opinions, strict=True))
    spreads = [max(step) - min(step) for step in by_step if len(step) > 1]
    return round(max(spreads), PLACES) if spreads else None


def _values(known: Sequence[float]) -> dict[str, float]:
    return {name: rule(known) for name, rule in AGGREGATIONS.items()} if known else {}


def _notes(told: Any, num_steps: int) -> tuple[str | None, ...] | None:
    """What a source said of each step: `meta` keeps it under the source's name."""
    if not isinstance(told, list | tuple) or len(cast("list[Any]", told)) != num_steps:
        return None
    notes = [word if isinstance(word, str) and word else None for word in cast("list[Any]", told)]
    return tuple(notes) if any(notes) else None


def _as_json(rest: Mapping[str, Any]) -> str | None:
    return msgspec.json.format(msgspec.json.encode(rest)).decode() if rest else None
