"""Step labels from the calculator, and from sympy where it says nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rung.core import Chain, StepLabels
from rung.verify import AlgebraChecker
from rung.verify.calculator import Calculator, are_right

Verdicts = list[bool | None]


@dataclass(frozen=True, slots=True)
class ArithmeticLabeler:
    """A `Labeler`: 1.0 where a step's equations are right, 0.0 where one is wrong, else None.

    It judges each step by itself, also behind an error, and it knows only arithmetic: a step that
    reckons right with the wrong numbers is 1.0.
    """

    source: str = "arithmetic"
    checker: Calculator | None = None
    """Where the calculating is done; without it in this process."""

    def label(self, chains: Sequence[Chain]) -> list[StepLabels]:
        """One `StepLabels` a chain, in order. Steps that chains share are checked once."""
        check = self.checker.are_right if self.checker is not None else are_right
        return _labels(chains, check, self.source)


@dataclass(frozen=True, slots=True)
class AlgebraLabeler:
    """A `Labeler` as `ArithmeticLabeler`, that also judges equations with variables.

    What it calls wrong is described in `rung.verify.algebra_worker`.
    """

    checker: AlgebraChecker
    source: str = "algebra"

    def label(self, chains: Sequence[Chain]) -> list[StepLabels]:
        """One `StepLabels` a chain, in order. Steps that chains share are checked once."""
        return _labels(chains, self._check, self.source)

    def _check(self, texts: Sequence[str]) -> Verdicts:
        return [found.is_right for found in self.checker.check(texts)]


def _labels(
    chains: Sequence[Chain], check: Callable[[Sequence[str]], Verdicts], source: str
) -> list[StepLabels]:
    texts = list(dict.fromkeys(text for chain in chains for text in chain.texts))
    labels = dict(zip(texts, map(_label, check(texts)), strict=True))
    return [StepLabels(tuple(labels[text] for text in chain.texts), source) for chain in chains]


def _label(is_right: bool | None) -> float | None:
    return None if is_right is None else float(is_right)
