"""Scorers without a model: the truth above all others, and chance below them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rung.core.types import Chain, ChainRecord, StepScores


class LabelScorer:
    """Gives the labels of known steps as scores: the ceiling of what any scorer can do.

    Steps that nobody judged have score None. Labels are found by step id, so chains that share a
    prefix with a labeled one are scored as far as they share it.
    """

    def __init__(
        self, records: Iterable[ChainRecord], source: str | None = None, name: str = "oracle"
    ) -> None:
        """Take the labels of `source`; without a name, of the only source a record has."""
        self.name = name
        self._labels: dict[str, float] = {}
        for record in records:
            labels = record.labels_from(source)
            if labels is not None:
                judged = zip(record.chain.steps, labels.labels, strict=True)
                self._labels |= {step.id: y for step, y in judged if y is not None}

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """The steps' labels."""
        return [
            StepScores(tuple(self._labels.get(step.id) for step in chain.steps), self.name)
            for chain in chains
        ]


@dataclass(frozen=True, slots=True)
class RandomScorer:
    """Gives every step a number from [0, 1) that depends on the seed and the step's id alone."""

    seed: int = 0
    name: str = "random"

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """A number a step."""
        return [
            StepScores(tuple(self._number(step.id) for step in chain.steps), self.name)
            for chain in chains
        ]

    def _number(self, step_id: str) -> float:
        digest = hashlib.blake2b(f"{self.seed}:{step_id}".encode(), digest_size=8).digest()
        return (int.from_bytes(digest) >> 11) / 2**53
