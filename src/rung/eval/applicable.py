"""Which measures the chains allow: PRMBench, first errors, step metrics, best-of-n."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

from rung.core import ChainRecord
from rung.data import prmbench_key
from rung.eval.choose import choose_label_source, label_sources_of, reads_every_step
from rung.eval.measures import (
    Measure,
    prmbench_measures,
    processbench_measures,
    step_measures,
)
from rung.eval.pick_measures import best_of_n_measure, has_choices
from rung.eval.processbench import is_decided

Kind = Literal["processbench", "prmbench", "steps", "best-of-n"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def measures_of(
    records: Sequence[ChainRecord],
    scorers: Sequence[str],
    *,
    kinds: Sequence[Kind] = KINDS,
    label_source: str | None = None,
    tune_on: str | None = None,
    rule: str = "min",
    n: int | None = None,
    seed: int = 0,
) -> list[Measure]:
    """The measures of these kinds that the chains allow, perhaps none.

    PRMBench's chains stand by themselves.

    Args:
        records: Scored chains, with labels or verdicts or both.
        scorers: Whose scores.
        kinds: Which measures.
        label_source: Whose labels, on chains that are not PRMBench's; None for the only ones.
        tune_on: First errors by each scorer's threshold that is best on this subset.
        rule: The aggregation with which PRMs pick.
        n: Chains a problem to pick among; by default the most that nine problems in ten have.
        seed: Of the subsets that vote.

    Raises:
        RungError: There are several label sources to choose from.
    """
    planted = [record for record in records if prmbench_key(record) is not None]
    others = [record for record in records if prmbench_key(record) is None]
    found = [
        *(_of_prmbench(planted, scorers, kinds) if _read_by_prms(planted, scorers) else ()),
        *(
            _of_labels(others, scorers, kinds, label_source, tune_on)
            if _read_by_prms(others, scorers) and (label_source or label_sources_of(others))
            else ()
        ),
    ]
    if "best-of-n" in kinds and (n is not None or has_choices(others)):
        found.append(best_of_n_measure(others, scorers, rule=rule, n=n, seed=seed))
    return found


def _read_by_prms(records: Sequence[ChainRecord], scorers: Sequence[str]) -> bool:
    return any(reads_every_step(records, name) for name in scorers)


def _of_prmbench(
    records: Sequence[ChainRecord], scorers: Sequence[str], kinds: Sequence[Kind]
) -> Iterator[Measure]:
    source = choose_label_source(records, None)
    if "prmbench" in kinds:
        yield from prmbench_measures(records, scorers, source)
    if "steps" in kinds:
        yield from step_measures(records, scorers, source, ", PRMBench")


def _of_labels(
    records: Sequence[ChainRecord],
    scorers: Sequence[str],
    kinds: Sequence[Kind],
    label_source: str | None,
    tune_on: str | None,
) -> Iterator[Measure]:
    source = choose_label_source(records, label_source)
    if "processbench" in kinds and any(is_decided(record, source) for record in records):
        yield from processbench_measures(records, scorers, source, tune_on)
    if "steps" in kinds:
        yield from step_measures(records, scorers, source)
