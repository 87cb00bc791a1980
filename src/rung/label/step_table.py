"""Labels of several sources side by side, a row a distinct step.

S is the number of distinct steps, L of sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rung.core import ChainRecord, RungError

FloatArray = npt.NDArray[np.float64]


@dataclass(slots=True)
class StepRow:
    """Where a step stands, and the labels that each source gave it in the chains that hold it."""

    problem: str
    position: int
    """0 is the first."""
    num_chars: int
    domain: str
    """The problem's domain, else the subset that its file names, else "none"."""
    labels_L: list[list[float]] = field(default_factory=list[list[float]])


@dataclass(frozen=True, slots=True)
class StepTable:
    """What sources say of distinct steps."""

    sources: tuple[str, ...]
    rows: dict[str, StepRow]
    """By step id."""

    @property
    def labels_SL(self) -> FloatArray:
        """The mean of each source's labels; NaN where it has none."""
        means = [
            [sum(labels) / len(labels) if labels else np.nan for labels in row.labels_L]
            for row in self.rows.values()
        ]
        return np.array(means, dtype=np.float64).reshape(len(self.rows), len(self.sources))

    @property
    def said_SL(self) -> FloatArray:
        """1 right (a label of 0.5 and above), 0 wrong, NaN not judged."""
        labels_SL = self.labels_SL
        return np.where(np.isnan(labels_SL), np.nan, labels_SL >= 0.5)


def sources_of(records: Iterable[ChainRecord]) -> tuple[str, ...]:
    """Every source of labels, in the order in which they appear."""
    return tuple(dict.fromkeys(y.source for record in records for y in record.labels))


def step_table(records: Iterable[ChainRecord], sources: Sequence[str]) -> StepTable:
    """Gather what the sources say.

    Raises:
        RungError: A source has no label at all.
    """
    rows: dict[str, StepRow] = {}
    for record in records:
        problem = record.chain.problem
        domain = str(problem.domain or record.meta.get("subset") or "none")
        for k, step in enumerate(record.chain.steps):
            if step.id not in rows:
                none_L: list[list[float]] = [[] for _ in sources]
                rows[step.id] = StepRow(problem.root_id, k, len(step.text), domain, none_L)
        for column, source in enumerate(sources):
            found = record.labels_from(source)
            for step, label in zip(record.chain.steps, found.labels if found else (), strict=False):
                if label is not None:
                    rows[step.id].labels_L[column].append(label)
    for column, source in enumerate(sources):
        if not any(row.labels_L[column] for row in rows.values()):
            raise RungError(f"no step has a label from {source!r}")
    return StepTable(tuple(sources), rows)
