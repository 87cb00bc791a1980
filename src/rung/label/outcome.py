"""Outcomes: verdicts on the final answers, put on the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rung.core import ChainRecord, Verifier
from rung.verify import answer_of


def with_outcomes(records: Sequence[ChainRecord], verifier: Verifier) -> list[ChainRecord]:
    """The records with the verifier's verdicts as outcomes, in order.

    A record whose problem has no reference answer keeps the outcome that it has.
    """
    checkable = [k for k, r in enumerate(records) if r.chain.problem.answer is not None]
    verdicts = verifier.verify([records[k].chain for k in checkable])
    outcomes = dict(zip(checkable, verdicts, strict=True))
    return [replace(r, outcome=outcomes.get(k, r.outcome)) for k, r in enumerate(records)]


def with_answer(record: ChainRecord) -> ChainRecord:
    """The record with the final answer that its text gives, where the chain has none itself."""
    if record.chain.answer is not None:
        return record
    return replace(record, chain=replace(record.chain, answer=answer_of(record.chain)))
