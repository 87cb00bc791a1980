"""BIG-Bench-Mistake (arXiv 2311.08516): PaLM 2 chains on five tasks, with the first mistake.

Fields: `input`, `steps`, `answer` (the model's), `target`, and `mistake_index`, 0-based or null:
https://github.com/WHGTyen/BIG-Bench-Mistake/blob/270683a4ecce6f3b22c4ab28a204ab8fa09f2517/README.md
People labeled four tasks; for dyck_languages a program labeled most chains.
"""

from __future__ import annotations

import msgspec

from rung.core.types import Chain, ChainRecord, Provenance, StepLabels
from rung.data.rows import Row, labels_to_first_error, problem_of, rest_of

FIELDS = ("input", "steps", "answer", "target", "mistake_index")


class BigBenchMistakeRow(msgspec.Struct):
    """The row as it is published."""

    input: str
    steps: list[str]
    mistake_index: int | None
    target: str
    answer: str | None = None


def read(row: Row) -> ChainRecord:
    """One chain: labels up to the first mistake."""
    raw = msgspec.convert(row, BigBenchMistakeRow)
    chain = Chain.of(
        problem_of(raw.input, raw.target),
        raw.steps,
        answer=raw.answer,
        source=Provenance(policy="PaLM 2-L"),
    )
    labels = labels_to_first_error(len(raw.steps), raw.mistake_index)
    return ChainRecord(chain, (StepLabels(labels, "human"),), meta=rest_of(row, *FIELDS))
