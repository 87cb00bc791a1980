"""Step labels from whatever checks steps one by one: proofs, and the calls of tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rung.core import Chain, ChainRecord, StepLabels
from rung.verify import Findings, StepChecker


@dataclass(frozen=True, slots=True)
class CheckedLabeler:
    """A `Labeler` that asks a checker: 1 right, 0 wrong, None where nothing was found out.

    A step that is wrong and a later one that mends it are 0 and then 1: steps behind an error
    keep labels where the checker has judged them.

    Args:
        checker: `ProofVerifier`, `LeanVerifier` or `ToolVerifier`, or one like them.
        source: The name under which the labels are kept, and the findings in `meta`.
    """

    checker: StepChecker
    source: str

    def label(self, chains: Sequence[Chain]) -> list[StepLabels]:
        """One `StepLabels` a chain, in order; all None for a chain that can't be checked.

        Raises:
            RungError: The checker can't work, or a problem can't be read.
        """
        found = self._check(chains)
        return [
            StepLabels(f.labels if f else (None,) * len(chain.steps), self.source)
            for chain, f in zip(chains, found, strict=True)
        ]

    def judge(self, records: Sequence[ChainRecord]) -> list[ChainRecord]:
        """The records with labels, with each step's finding in words in `meta`, and outcomes.

        A chain that can't be checked stays as it is, and so does an outcome that the checker says
        nothing of.
        """
        found = self._check([record.chain for record in records])
        return [
            self._judged(record, f) if f else record
            for record, f in zip(records, found, strict=True)
        ]

    def _judged(self, record: ChainRecord, found: Findings) -> ChainRecord:
        labelled = record.with_labels(StepLabels(found.labels, self.source))
        words = [str(step) for step in found.steps]
        return replace(
            labelled,
            outcome=found.outcome or record.outcome,
            meta={**record.meta, self.source: words},
        )

    def _check(self, chains: Sequence[Chain]) -> list[Findings | None]:
        places = [k for k, chain in enumerate(chains) if self.checker.can_check(chain)]
        found = dict(zip(places, self.checker.check([chains[k] for k in places]), strict=True))
        return [found.get(k) for k in range(len(chains))]
