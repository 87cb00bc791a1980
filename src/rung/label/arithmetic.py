"""Step labels from the calculator, and from sympy where it says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rung.core import Chain, StepLabels
from rung.verify import AlgebraChecker
from rung.verify.calculator import Calculator, are_right
from rung.verify.equations import StepCheck


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
        texts = _texts(chains)
        return _labels(chains, dict(zip(texts, check(texts), strict=True)), self.source)


@dataclass(frozen=True, slots=True)
class AlgebraLabeler:
    """A `Labeler` as `ArithmeticLabeler`, that also judges equations with variables.

    What it calls wrong is described in `rung.verify.algebra_worker`.
    """

    checker: AlgebraChecker
    calculator: Calculator | None = None
    """Where the calculating is done, which comes first; without it in this process."""
    source: str = "algebra"

    def label(self, chains: Sequence[Chain]) -> list[StepLabels]:
        """One `StepLabels` a chain, in order. Steps that chains share are checked once."""
        return self.label_both(chains)[1]

    def label_both(self, chains: Sequence[Chain]) -> tuple[list[StepLabels], list[StepLabels]]:
        """The labels of `ArithmeticLabeler`, and those of `label`; all is calculated once."""
        calculate = self.calculator.are_right if self.calculator is not None else are_right
        texts = _texts(chains)
        known = calculate(texts)
        found = self.checker.solve(texts, known)
        settled = [
            StepCheck(f).is_right if k is None else k for k, f in zip(known, found, strict=True)
        ]
        return (
            _labels(chains, dict(zip(texts, known, strict=True)), ArithmeticLabeler().source),
            _labels(chains, dict(zip(texts, settled, strict=True)), self.source),
        )


def _texts(chains: Sequence[Chain]) -> list[str]:
    """Every step once."""
    return list(dict.fromkeys(text for chain in chains for text in chain.texts))


def _labels(
    chains: Sequence[Chain], verdicts: Mapping[str, bool | None], source: str
) -> list[StepLabels]:
    return [
        StepLabels(tuple(_label(verdicts[text]) for text in chain.texts), source)
        for chain in chains
    ]


def _label(is_right: bool | None) -> float | None:
    return None if is_right is None else float(is_right)
