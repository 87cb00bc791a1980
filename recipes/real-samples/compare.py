"""All ways to pick among a pool's solutions, on the same problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any, NamedTuple

import msgspec
from picks import picks

from rung.core import AGGREGATIONS, ChainRecord
from rung.data.samples import SCORER as PUBLISHED
from rung.eval import best_of_n
from rung.eval.statistics import paired_differences, resample_weights
from rung.search.best_of_n import value_of

PRM, ORM = "prm", "orm"
RULE = "min"
"""The PRM's, fixed before anything was measured."""
SHOWN = ("min", "product", "mean", "last")
"""The rules of the PRM that are told."""


def compared(records: Sequence[ChainRecord]) -> dict[str, Any]:
    """Curves and paired differences of every way to pick, by name."""
    found = best_of_n(records, prm=PRM, orm=ORM)
    n = found.ns[-1]
    rules = [name for rule in SHOWN for name in (f"prm_{rule}", f"weighted_prm_{rule}")]
    names = ("random", "majority", ORM, f"weighted_{ORM}", *rules, "oracle")
    curves = {name: found.curves[name] for name in names}
    gaps = {other: found.gap_at(f"prm_{RULE}_minus_{other}", n) for other in (ORM, "majority")}
    if all(record.scores_by(PUBLISHED) for record in records):
        beside = best_of_n(records, prm=PRM, orm=PUBLISHED, ns=found.ns)
        curves |= {"published": beside.curves["orm"]}
        curves |= {"weighted_published": beside.curves["weighted_orm"]}
        gaps["published"] = beside.gap_at(f"prm_{RULE}_minus_orm", n)
    return {
        "num_problems": found.num_problems,
        "n": n,
        "chains": msgspec.to_builtins(found.chains),
        "curves": msgspec.to_builtins(curves),
        "gaps": {"random": _over_random(records, n), **msgspec.to_builtins(gaps)},
        "by_writer": by_writer(records),
    }


class Judged(NamedTuple):
    """A solution under the PRM."""

    writer: str
    problem: str
    is_right: bool
    num_steps: int
    value: float


def by_writer(records: Sequence[ChainRecord]) -> list[dict[str, Any]]:
    """For each policy: how good it is, what the PRM gives it, and how often the PRM picks it.

    The policy that is picked most stands first. Nothing where one policy wrote all.
    """
    found = list(_judged(records))
    writers, problems = (
        dict.fromkeys(column)
        for column in ([one.writer for one in found], [one.problem for one in found])
    )
    best = [
        max((one for one in found if one.problem == problem), key=lambda one: one.value)
        for problem in problems
    ]
    picked = Counter(one.writer for one in best)
    rows = [
        {"policy": writer, "picked": picked[writer] / len(problems), **_told(found, writer)}
        for writer in writers
    ]
    return sorted(rows, key=lambda row: -row["picked"]) if len(rows) > 1 else []


def _judged(records: Sequence[ChainRecord]) -> Iterator[Judged]:
    for record in records:
        scores, source, outcome = record.scores_by(PRM), record.chain.source, record.outcome
        value = value_of(scores, AGGREGATIONS[RULE])
        if value is not None and outcome is not None and source and source.policy:
            problem, num_steps = record.chain.problem.root_id, len(record.chain.steps)
            yield Judged(source.policy, problem, outcome.is_correct, num_steps, value)


def _told(found: Sequence[Judged], writer: str) -> dict[str, float | None]:
    ours = [one for one in found if one.writer == writer]
    return {
        "right": fmean(one.is_right for one in ours),
        "num_steps": fmean(one.num_steps for one in ours),
        "value_of_right": _mean_value(ours, is_right=True),
        "value_of_wrong": _mean_value(ours, is_right=False),
    }


def _mean_value(ours: Sequence[Judged], *, is_right: bool) -> float | None:
    values = [one.value for one in ours if one.is_right == is_right]
    return fmean(values) if values else None


def _over_random(records: Sequence[ChainRecord], n: int) -> dict[str, Any]:
    """The best of n minus the best of one, which is a random chain."""
    one_PN, best_PN = (picks(records, PRM, (RULE,), (k,))[0] for k in (1, n))
    (gap,) = paired_differences(best_PN - one_PN, resample_weights(len(best_PN)))
    return asdict(gap)


def claims(pools: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a PRM is for, held against every pool; what fails stands first."""
    found = [
        {"claim": f"better than {other}", "pool": name, "holds": gap["low"] > 0, "gap": gap}
        for other in ("random", "majority", ORM)
        for name, pool in pools.items()
        for gap in (pool["gaps"][other],)
    ]
    return sorted(found, key=lambda claim: bool(claim["holds"]))
