"""Re-encoded labeled chains: one layout for PRM800K, ProcessBench, PRMBench, MR-Ben, PARC, ...

Fields: `id`, `source`, `problem`, `steps`, `labels` (1 good, 0 neutral, -1 bad, null unknown),
`first_error` (-1 none, null unknown), `answer` (the reference), `final_correct`, `meta`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rung.core.types import Chain, ChainRecord, Provenance, StepLabels
from rung.data.rows import Neutral, Row, label_of_rating, problem_of, verdict_of

FIELDS = frozenset({"id", "source", "problem", "steps", "labels", "first_error"})
_LABELED_BY = {
    "prm800k": "human",
    "processbench": "human",
    "mr_ben": "human",
    "big_bench_mistake": "human",
    "prmbench_original": "assumed",
    "prmbench": "planted",
}


class LabeledChainRow(msgspec.Struct):
    """One chain with a label a step."""

    id: str
    source: str
    problem: str
    steps: list[str]
    labels: list[int | None]
    first_error: int | None
    answer: str | None = None
    final_correct: bool | None = None
    meta: dict[str, Any] = {}


def read(row: Row, neutral: Neutral) -> ChainRecord:
    """One chain. The -1 / 0 / 1 are kept as ratings where they are people's ratings (PRM800K).

    The labels' source is "human", "planted" (errors put in on purpose), "assumed" (held right
    because they come from a right solution), or the row's own source where nothing is known.
    """
    raw = msgspec.convert(row, LabeledChainRow)
    policy = raw.meta.get("generator")
    answer = raw.meta.get("pred", raw.meta.get("model_answer"))
    chain = Chain.of(
        problem_of(raw.problem, raw.answer, domain=raw.meta.get("domain")),
        raw.steps,
        answer=None if answer is None else str(answer),
        id=raw.id,
        source=None if policy is None else Provenance(policy=policy),
    )
    labels = StepLabels(
        tuple(label_of_rating(label, neutral) for label in raw.labels),
        _labeled_by(raw.source),
        ratings=tuple(raw.labels) if raw.source.startswith("prm800k") else None,
    )
    meta = {"source": raw.source, **raw.meta}
    return ChainRecord(chain, (labels,), (), verdict_of(raw.final_correct), meta)


def _labeled_by(source: str) -> str:
    kinds = (kind for name, kind in _LABELED_BY.items() if source.startswith(name))
    return next(kinds, source)
