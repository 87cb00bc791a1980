"""Labels for the steps of sampled chains, and who gave them.

The calculator, the other chains of the problem and the reference solution are asked in turn, from
the chain's front up to its first wrong step; what stands behind that is judged by nobody.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from problems import value_of

from rung.core import ChainRecord, StepLabels

SOURCE = "steps"


def with_step_labels(
    records: Sequence[ChainRecord], values: Mapping[str, AbstractSet[float]]
) -> tuple[list[ChainRecord], dict[str, int]]:
    """The records with labels from `SOURCE`, and how many steps each judge decided.

    A step is wrong where the calculator says so. Else it is right if one of the problem's chains
    that runs through it ends in the right answer: these chains are its rollouts, and cost nothing
    more. Else it is right if its result is one of the reference solution's. Else it is wrong.

    Args:
        records: Chains with outcomes and the calculator's labels, all those of a problem together.
        values: The results in each problem's reference solution, by the problem's root id.
    """
    reached: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.outcome is not None and record.outcome.is_correct:
            reached[record.chain.problem.root_id] |= {step.id for step in record.chain.steps}
    labeled, decided = list[ChainRecord](), dict[str, str]()
    for record in records:
        root = record.chain.problem.root_id
        found = list(_judged(record, reached[root], values[root]))
        decided |= {
            step.id: judge for step, (_, judge) in zip(record.chain.steps, found, strict=False)
        }
        rest = (None,) * (len(record.chain.steps) - len(found))
        labels = (*(label for label, _ in found), *rest)
        labeled.append(record.with_labels(StepLabels(labels, SOURCE)))
    return labeled, dict(sorted(Counter(decided.values()).items()))


def _judged(
    record: ChainRecord, reached: AbstractSet[str], values: AbstractSet[float]
) -> Iterator[tuple[float, str]]:
    arithmetic = record.labels_from("arithmetic")
    calculated = arithmetic.labels if arithmetic else (None,) * len(record.chain.steps)
    for step, is_right in zip(record.chain.steps, calculated, strict=True):
        if is_right == 0.0:
            yield 0.0, "wrong: calculator"
            return
        if step.id in reached:
            yield 1.0, "right: rollouts"
        elif value_of(step.text) in values:
            yield 1.0, "right: reference"
        else:
            yield 0.0, "wrong: nobody knows it"
            return
