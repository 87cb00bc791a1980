"""ProcessBench (arXiv 2412.06559): model-written solutions with the first wrong step, by experts.

Fields: `id`, `generator`, `problem`, `steps`, `final_answer_correct`, and `label`, the 0-based
index of the first wrong step or -1. It is made for evaluation; see `rung eval processbench`.
"""

from __future__ import annotations

import msgspec

from rung.core.types import Chain, ChainRecord, Provenance, StepLabels, Verdict
from rung.data.rows import Row, labels_to_first_error, problem_of, rest_of, verdict_of

FIELDS = ("id", "generator", "problem", "steps", "final_answer_correct", "label")


class ProcessBenchRow(msgspec.Struct):
    """The row as it is published."""

    id: str
    generator: str
    problem: str
    steps: list[str]
    final_answer_correct: bool
    label: int


def read(row: Row) -> ChainRecord:
    """One chain: labels up to the first error, verdict from `final_answer_correct`."""
    raw = msgspec.convert(row, ProcessBenchRow)
    chain = Chain.of(
        problem_of(raw.problem), raw.steps, id=raw.id, source=Provenance(policy=raw.generator)
    )
    first_error = None if raw.label == -1 else raw.label
    labels = StepLabels(labels_to_first_error(len(raw.steps), first_error), "human")
    meta = {"subset": raw.id.rsplit("-", 1)[0], **rest_of(row, *FIELDS)}
    return ChainRecord(chain, (labels,), (), verdict_of(raw.final_answer_correct), meta)


def write(record: ChainRecord, labels: StepLabels) -> Row:
    """The row that `read` gives back.

    Raises:
        ValueError: The record lacks what the format demands.
    """
    chain = record.chain
    if chain.id is None:
        raise ValueError("ProcessBench rows need an id, this chain has none")
    if record.outcome is None:
        raise ValueError("ProcessBench rows say if the final answer is right, here nobody checked")
    error = labels.first_error
    if None in labels.labels[: len(labels.labels) if error is None else error]:
        raise ValueError("ProcessBench needs every step up to the first error labeled")
    policy = chain.source.policy if chain.source else None
    return {
        "id": chain.id,
        "generator": policy or "unknown",
        "problem": chain.problem.question,
        "steps": list(chain.texts),
        "final_answer_correct": record.outcome is Verdict.CORRECT,
        "label": -1 if error is None else error,
    }
