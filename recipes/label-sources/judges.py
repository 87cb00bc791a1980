"""Made judges: verdicts on the lab's steps with known errors, the same at every asking.

No model is behind them. A judge reads a chain from the front and stops at the first step that it
calls wrong. What it knows is the exact label; whether it errs is a hash of its name and the step's
id, so a step that chains share gets one verdict. Behind an error that it has overlooked it judges
each step's own arithmetic, as a reader does who has believed what came before.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rung.core import Chain, ChainRecord, Step, StepLabels
from rung.label import ArithmeticLabeler, LabLabeler

MISSED, FALSE_ALARMS = 0.35, 0.12
"""P(says right | wrong) and P(says wrong | right), on average over facts."""
BLIND_SHARE, BLIND_MISSED = 0.3, 0.85
"""Of a judge with blind spots: the share of facts about which it overlooks this share of errors."""
WARY_SHARE, WARY_FALSE_ALARMS = 0.15, 0.5
"""The share of facts whose right results it calls wrong so often."""
SHARED = 0.5
"""Share of facts about which all judges have the same spots."""
_FACT = re.compile(r": (.*) =")


@dataclass(frozen=True, slots=True)
class MadeJudge:
    """A `Labeler`: errs at random given the truth, or more often about some facts."""

    source: str
    has_blind_spots: bool = False
    missed: float = MISSED
    false_alarms: float = FALSE_ALARMS

    def label(self, chains: Sequence[Chain]) -> list[StepLabels]:
        """Label every step up to the first that the judge calls wrong."""
        truths, local = LabLabeler().label(chains), ArithmeticLabeler().label(chains)
        return [
            StepLabels(self._verdicts(chain, truth.labels, own.labels), self.source)
            for chain, truth, own in zip(chains, truths, local, strict=True)
        ]

    def _verdicts(
        self, chain: Chain, truth: Sequence[float | None], own: Sequence[float | None]
    ) -> tuple[float | None, ...]:
        verdicts: list[float | None] = []
        for step, exact, arithmetic in zip(chain.steps, truth, own, strict=True):
            is_right = (arithmetic != 0) if exact is None else exact == 1
            said = None if 0.0 in verdicts else self._verdict(step, is_right)
            verdicts.append(said)
        return tuple(verdicts)

    def _verdict(self, step: Step, is_right: bool) -> float:
        errs = _uniform(self.source, step.id) < self._error_rate(step, is_right)
        return float(is_right != errs)

    def _error_rate(self, step: Step, is_right: bool) -> float:
        mean, share, often = (
            (self.false_alarms, WARY_SHARE, WARY_FALSE_ALARMS)
            if is_right
            else (self.missed, BLIND_SHARE, BLIND_MISSED)
        )
        if not self.has_blind_spots:
            return mean
        if self._spot("wary" if is_right else "blind", step) < share:
            return often
        return (mean - share * often) / (1 - share)

    def _spot(self, kind: str, step: Step) -> float:
        """Where a step's fact stands among the judge's spots, 0 to 1."""
        found = _FACT.search(step.text)
        fact = found[1] if found else "the answer"
        whose = "all" if _uniform("shared", fact) < SHARED else self.source
        return _uniform(f"{kind} {whose}", fact)


def judged(records: Sequence[ChainRecord], judges: Sequence[MadeJudge]) -> list[ChainRecord]:
    """The records with every judge's labels."""
    for judge in judges:
        labels = judge.label([record.chain for record in records])
        records = [r.with_labels(y) for r, y in zip(records, labels, strict=True)]
    return list(records)


def _uniform(who: str, what: str) -> float:
    digest = hashlib.blake2b(f"{who}/{what}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
