"""Several sampled solutions of each problem, for reranking.

Fields: `id`, `problem`, `answer`, and `samples`, a list of `text`, `steps` (may be missing),
`final` (the answer found), `correct`, and, where the source has them, `score` (an outcome reward
model's logit) and `generator`.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from rung.core.types import Chain, ChainRecord, Problem, Provenance, StepScores
from rung.data.rows import Row, problem_of, rest_of, verdict_of
from rung.data.split import step_texts

FIELDS = frozenset({"problem", "samples"})
SCORER = "source"


class Sample(msgspec.Struct):
    """One solution."""

    steps: list[str] | None = None
    text: str | None = None
    correct: bool | None = None
    final: str | None = None
    score: float | None = None
    generator: str | None = None


class SamplesRow(msgspec.Struct):
    """One problem with its solutions."""

    id: str
    problem: str
    samples: list[dict[str, Any]]
    answer: str | None = None


def read(row: Row, steps_by: str = "newline") -> list[ChainRecord]:
    """A chain a sample, ids "ID/0", "ID/1", ...; the samples' own fields stay in `meta`.

    Where a sample has no `steps`, its `text` is cut by `steps_by`.

    A published `score` is a logit of an outcome reward model: it becomes the last step's score
    by "source" through the sigmoid, which keeps the order; `meta["score"]` is the raw value.

    Raises:
        ValueError: There are no samples, or a sample has no steps.
    """
    raw = msgspec.convert(row, SamplesRow)
    if not raw.samples:
        raise ValueError("the problem has no samples - `$.samples`")
    problem = problem_of(raw.problem, raw.answer, id=raw.id)
    shared = rest_of(row, "id", "problem", "answer", "samples", "reference")
    return [_record(problem, k, sample, shared, steps_by) for k, sample in enumerate(raw.samples)]


def _record(problem: Problem, index: int, fields: Row, shared: Row, steps_by: str) -> ChainRecord:
    sample = msgspec.convert(fields, Sample)
    steps = step_texts(sample.text or "", steps_by) if sample.steps is None else sample.steps
    chain = Chain.of(
        problem,
        steps,
        answer=sample.final,
        id=f"{problem.id}/{index}",
        source=None if sample.generator is None else Provenance(policy=sample.generator),
    )
    scores = () if sample.score is None else (_last_score(len(steps), sample.score),)
    meta = {**shared, **rest_of(fields, "text", "steps", "correct", "final", "generator")}
    return ChainRecord(chain, (), scores, verdict_of(sample.correct), meta)


def _last_score(num_steps: int, logit: float) -> StepScores:
    # the two forms of the sigmoid, so that exp never overflows
    score = 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
    return StepScores((*(None,) * (num_steps - 1), score), SCORER)
