"""All ways to pick among a pool's solutions, on the same problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
from picks import picks

from rung.core import ChainRecord
from rung.data.samples import SCORER as PUBLISHED
from rung.eval import best_of_n
from rung.eval.statistics import paired_differences, resample_weights

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
    }


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
