"""Chains that say some steps twice, so that chains of one problem differ in their length.

The lab's chains of one problem have one length, so no rule can prefer long ones or short ones. Said
twice, a step is as right as it was, and the answer stays: length says nothing about being right,
and a pick that leans to long chains or to short ones shows nothing but its rule.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from rung.core import Chain, ChainRecord, StepLabels


def said_twice(records: Sequence[ChainRecord], seed: int) -> list[ChainRecord]:
    """The records with steps repeated in place, each chain's own share of them, 0 to 1.

    The last step, the answer, is said once. Labels go with their steps; behind a wrong step
    nothing is judged, so a wrong step's repetition has no label.
    """
    rng = random.Random(f"said twice {seed}")
    return [_repeated(record, _times(len(record.chain.steps), rng)) for record in records]


def _times(num_steps: int, rng: random.Random) -> list[int]:
    """How often each step is said."""
    share = rng.random()
    return [1 + (rng.random() < share) for _ in range(num_steps - 1)] + [1]


def _repeated(record: ChainRecord, times: Sequence[int]) -> ChainRecord:
    chain = record.chain
    texts = [text for text, n in zip(chain.texts, times, strict=True) for _ in range(n)]
    longer = Chain.of(chain.problem, texts, answer=chain.answer, id=chain.id, source=chain.source)
    labels = tuple(_with_steps(given, times) for given in record.labels)
    return replace(record, chain=longer, labels=labels, scores=())


def _with_steps(given: StepLabels, times: Sequence[int]) -> StepLabels:
    labels = [
        label if k == 0 or label != 0 else None
        for label, n in zip(given.labels, times, strict=True)
        for k in range(n)
    ]
    return StepLabels(tuple(labels), given.source)
