"""The PRM's lead by the length of a problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from lab_runs import LabRun

from rung.core import ChainRecord
from rung.data.lab import read_story
from rung.eval import best_of_n, best_of_n_over_seeds

BINS = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 12), (13, 16), (17, 20))
"""Steps before the answer, from and to."""
RULES = ("prm_min", "orm", "majority", "random", "oracle")


def by_length(runs: Sequence[LabRun]) -> list[dict[str, Any]]:
    """A row for each bin of lengths that every run has problems of."""
    records = [run.records("scored") for run in runs]
    rows: list[dict[str, Any]] = []
    for low, high in BINS:
        within = [[r for r in of_run if low <= num_steps(r) <= high] for of_run in records]
        if all(within):
            rows.append({"from": low, "to": high, **lead(within)})
    return rows


def of_one_length(runs: Sequence[LabRun]) -> dict[str, Any]:
    """The row of runs whose problems all have one length."""
    steps = runs[0].settings.lab.num_steps
    return {"from": steps, "to": steps, **lead([run.records("scored") for run in runs])}


def num_steps(record: ChainRecord) -> int:
    """Steps of the problem's right chain before the answer."""
    return len(read_story(record.chain.problem).events)


def lead(runs: Sequence[Sequence[ChainRecord]]) -> dict[str, Any]:
    """Each rule with the most chains, and the PRM's lead over ORM and majority for every N.

    `by_seed` is each run's lead over the ORM with the most chains.
    """
    found = best_of_n_over_seeds(runs, prm="prm", orm="orm")
    most = found.ns[-1]
    alone = [best_of_n(run, prm="prm", orm="orm", ns=[most], resamples=1) for run in runs]
    gaps = {other: found.gaps[f"prm_min_minus_{other}"] for other in ("orm", "majority")}
    return {
        "num_problems": found.num_problems,
        "n": most,
        "accuracy": {name: msgspec.to_builtins(found.curves[name][-1]) for name in RULES},
        "gaps": msgspec.to_builtins(gaps),
        "by_seed": [one.gap_at("prm_min_minus_orm", most).difference for one in alone],
    }
