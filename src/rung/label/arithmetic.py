"""Step labels from the calculator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rung.core import Chain, StepLabels
from rung.verify import check_step


@dataclass(frozen=True, slots=True)
class ArithmeticLabeler:
    """A `Labeler`: 1.0 where a step's equations are right, 0.0 where one is wrong, else None.

    It judges each step by itself, also behind an error, and it knows only arithmetic: a step that
    reckons right with the wrong numbers is 1.0.
    """

    source: str = "arithmetic"

    def label(self, chains: Sequence[Chain]) -> list[StepLabels]:
        """One `StepLabels` a chain, in order. Steps that chains share are checked once."""
        texts = dict.fromkeys(text for chain in chains for text in chain.texts)
        labels = {text: _label(check_step(text).is_right) for text in texts}
        return [
            StepLabels(tuple(labels[text] for text in chain.texts), self.source) for chain in chains
        ]


def _label(is_right: bool | None) -> float | None:
    return None if is_right is None else float(is_right)
