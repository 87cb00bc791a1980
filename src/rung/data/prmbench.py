"""PRMBench (arXiv 2501.03124): right solutions into which an error of a known class was planted.

Fields: `idx`, `classification`, `modified_question`, `modified_process` (the steps to judge),
`error_steps` (1-based), and the original they were made from. Field by field:
https://github.com/ssmisya/PRMBench/blob/f260a056fdb23c7f470fd91b1fbdda448ac5a065/docs/data_format.md
"""

from __future__ import annotations

import msgspec

from rung.core.types import Chain, ChainRecord, StepLabels
from rung.data.rows import Row, problem_of, rest_of

FIELDS = ("modified_question", "modified_process")


class PrmBenchRow(msgspec.Struct):
    """The fields that every published row has."""

    modified_question: str
    modified_process: list[str]
    error_steps: list[int]
    idx: str
    classification: str


def read(row: Row) -> ChainRecord:
    """The modified chain, labels from the planted errors; the original stays in `meta`.

    Steps behind an error that are not in `error_steps` are labeled right, as the benchmark
    counts them. Error steps beyond the chain's end (some rows have them) mark no step.
    """
    raw = msgspec.convert(row, PrmBenchRow)
    wrong = set(raw.error_steps)
    labels = tuple(float(k not in wrong) for k in range(1, len(raw.modified_process) + 1))
    chain = Chain.of(
        problem_of(raw.modified_question),
        raw.modified_process,
        id=f"{raw.classification}_{raw.idx}",
    )
    return ChainRecord(chain, (StepLabels(labels, "planted"),), meta=rest_of(row, *FIELDS))
