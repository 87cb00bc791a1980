"""Curves over N, the PRM's lead on each seed and over all, and what was claimed of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pages import points

from rung.core import ChainRecord
from rung.eval import BestOfN, best_of_n, best_of_n_over_seeds

PRM = "prm_min"
"""The rule was fixed before anything was measured."""
ORMS = ("orm", "orm-tokens")
"""That learns the outcome at the last step, and at every token."""
AT_LEAST = 0.1
"""The PRM's lead at N = 64 that is claimed."""
Gap = Mapping[str, float]


def measured(runs: Sequence[Sequence[ChainRecord]], most: int) -> dict[str, Any]:
    """All that is measured on the scored chains of each seed, from 1 to `most` chains a problem."""
    ns = [2**k for k in range(most.bit_length()) if 2**k <= most]
    over_all = {orm: best_of_n_over_seeds(runs, prm="prm", orm=orm, ns=ns) for orm in ORMS}
    by_seed = {orm: [best_of_n(run, prm="prm", orm=orm, ns=ns) for run in runs] for orm in ORMS}
    gaps = {orm: _lead(found, "orm") for orm, found in over_all.items()}
    gaps["majority"] = _lead(over_all["orm"], "majority")
    leads = {orm: [_lead(found, "orm") for found in of_orm] for orm, of_orm in by_seed.items()}
    leads["majority"] = [_lead(found, "majority") for found in by_seed["orm"]]
    return {
        "ns": ns,
        "num_problems": over_all["orm"].num_problems,
        "pass_at_1": over_all["orm"].pass_at_1,
        "curves": _curves(over_all),
        "gaps": gaps,
        "by_seed": {
            other: [[gap["difference"] for gap in lead] for lead in of_other]
            for other, of_other in leads.items()
        },
        "claims": claims(ns, gaps, leads),
    }


def _lead(found: BestOfN, other: str) -> list[Gap]:
    """The PRM's, one gap an N."""
    return [msgspec.to_builtins(gap) for gap in found.gaps[f"{PRM}_minus_{other}"]]


def _curves(over_all: Mapping[str, BestOfN]) -> dict[str, Any]:
    """The named curves; those of the second ORM under its own name."""
    names = ("random", "majority", "orm", "weighted_orm", PRM, f"weighted_{PRM}", "oracle")
    curves = {name: over_all["orm"].curves[name] for name in names}
    for name in ("orm", "weighted_orm"):
        curves[f"{name}-tokens"] = over_all["orm-tokens"].curves[name]
    return msgspec.to_builtins(curves)


def claims(
    ns: Sequence[int],
    gaps: Mapping[str, Sequence[Gap]],
    leads: Mapping[str, Sequence[Sequence[Gap]]],
) -> list[dict[str, Any]]:
    """What the field says of PRMs and ORMs, held against each ORM."""
    found: list[dict[str, Any]] = []
    for orm in ORMS:
        least = _least(ns, leads[orm])
        found.append(
            {
                "claim": f"ahead of {orm} at every N of 4 and more, on every seed",
                "holds": least > 0,
                "said": f"the least lead is {_said(least)}",
            }
        )
        at = dict(zip(ns, gaps[orm], strict=True))
        if 64 in at:
            found.append(
                {
                    "claim": f"at least 10 points ahead of {orm} at N = 64",
                    "holds": at[64]["low"] >= AT_LEAST,
                    "said": points(at[64]),
                }
            )
        if 256 in at:
            found.append(
                {
                    "claim": f"its lead over {orm} at N = 256 is not below that at N = 16",
                    "holds": at[256]["difference"] >= at[16]["difference"],
                    "said": f"{_said(at[256]['difference'])}, {_said(at[16]['difference'])}",
                }
            )
    return sorted(found, key=lambda claim: claim["holds"])


def _least(ns: Sequence[int], of_seeds: Sequence[Sequence[Gap]]) -> float:
    return min(
        gap["difference"] for lead in of_seeds for n, gap in zip(ns, lead, strict=True) if n >= 4
    )


def _said(share: float) -> str:
    return f"{100 * share:+z.1f}"
