"""TRL's stepwise supervision: `prompt`, `completions` (the steps), `labels` (bool or float).

https://huggingface.co/docs/trl/dataset_formats#stepwise-supervision
Soft labels stay floats, and `meta["label_types"]` remembers how each label was written, so that
reading and writing give the same rows. TRL's own trainer turns every label into 0 or 1
(`int(label)`), so that 0.9 counts as wrong there; rung trains on the float.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rung.core.types import Chain, ChainRecord, StepLabels
from rung.data.rows import Row, problem_of, rest_of

FIELDS = ("prompt", "completions", "labels")
_TYPES: dict[str, type] = {"bool": bool, "int": int, "float": float}


class TrlRow(msgspec.Struct):
    """The row as TRL documents it; null is a step that nobody judged."""

    prompt: str
    completions: list[str]
    labels: list[bool | int | float | None]


def read(row: Row) -> ChainRecord:
    """One chain. The source of its labels is "trl": the format doesn't say who made them."""
    raw = msgspec.convert(row, TrlRow)
    labels = tuple(None if label is None else float(label) for label in raw.labels)
    chain = Chain.of(problem_of(raw.prompt), raw.completions)
    types = {type(label).__name__ for label in raw.labels if label is not None}
    names: Any = types.pop() if len(types) == 1 else [type(y).__name__ for y in raw.labels]
    meta = {"label_types": names, **rest_of(row, *FIELDS)}
    return ChainRecord(chain, (StepLabels(labels, "trl"),), meta=meta)


def write(record: ChainRecord, labels: StepLabels) -> Row:
    """The row that `read` gives back. Labels of other origin are bools, or floats if soft."""
    return {
        "prompt": record.chain.problem.question,
        "completions": list(record.chain.texts),
        "labels": [
            None if label is None else _typed(label, name)
            for label, name in zip(labels.labels, _type_names(record, labels), strict=True)
        ],
        **_own_columns(record),
    }


def _own_columns(record: ChainRecord) -> Row:
    """Columns that came with a TRL row; what other formats keep in `meta` is not TRL's."""
    if "label_types" not in record.meta:
        return {}
    return rest_of(record.meta, "label_types", *FIELDS)


def _type_names(record: ChainRecord, labels: StepLabels) -> list[str]:
    names = record.meta.get("label_types")
    if isinstance(names, list) and len(names) == len(labels.labels):
        return names
    if not isinstance(names, str):
        names = "bool" if all(y in (None, 0.0, 1.0) for y in labels.labels) else "float"
    return [names] * len(labels.labels)


def _typed(label: float, name: str) -> bool | int | float:
    kind = _TYPES.get(name, float)
    return kind(label) if label in (0.0, 1.0) else label
