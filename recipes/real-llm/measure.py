"""Best-of-N of the PRM and the ORM, and what either is ahead of a random pick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from rung.core import ChainRecord
from rung.eval import BestOfN, auroc, best_of_n
from rung.eval.pools import Pool, gather, same_answer
from rung.eval.statistics import paired_differences, resample_weights

PRM, ORM, RULE = "prm", "orm", "min"
"""The rule was fixed before anything was measured."""
SHOWN = ("random", "majority", "orm", "weighted_orm", f"prm_{RULE}", f"weighted_prm_{RULE}")
SHOWN += ("prm_product", "prm_mean", "prm_last", "oracle")
"""The curves that are kept; the others can be made from the samples."""
_PICKS = (f"prm_{RULE}", "orm")


def measured(records: Sequence[ChainRecord]) -> dict[str, Any]:
    """All that is measured on scored chains, over all problems and over those that can be won."""
    won = {r.chain.problem.root_id for r in records if _is_right(r)}
    views = {
        "all": records,
        "with_a_right_chain": [r for r in records if r.chain.problem.root_id in won],
    }
    return {name: _view(chosen) for name, chosen in views.items() if chosen}


def curves(records: Sequence[ChainRecord]) -> BestOfN:
    """The curves that the picture shows."""
    return best_of_n(records, prm=PRM, orm=ORM)


def _view(records: Sequence[ChainRecord]) -> dict[str, Any]:
    found = msgspec.to_builtins(curves(records))
    gaps = {name: gap for name, gap in found["gaps"].items() if name.startswith(_PICKS)}
    return {
        **found,
        "curves": {name: found["curves"][name] for name in SHOWN},
        "gaps": gaps,
        "over_random": _over_random(records),
        "chain_auroc": _chain_auroc(records),
        "random_fails_everywhere": _random_fails_everywhere(records),
    }


def _random_fails_everywhere(records: Sequence[ChainRecord]) -> float:
    """P(a random pick is wrong at every problem), to read a rule that is by."""
    pools, _, _ = gather(records, prm=None, orm=None, answer_key=same_answer)
    return float(np.prod([1 - pool.correct_M.mean() for pool in pools]))


def _over_random(records: Sequence[ChainRecord]) -> dict[str, Any]:
    """Accuracy of a pick among all chains minus the share of right chains, problem by problem."""
    pools, names, _ = gather(records, prm=PRM, orm=ORM, answer_key=same_answer)
    rows = [names.picks.index(name) for name in _PICKS]
    differences_PK = np.array(
        [[_picked(pool, row) - pool.correct_M.mean() for row in rows] for pool in pools]
    )
    found = paired_differences(differences_PK, resample_weights(len(pools)))
    return dict(zip(_PICKS, map(msgspec.to_builtins, found), strict=True))


def _picked(pool: Pool, row: int) -> float:
    """How right the best chain is; of equals, each is as likely to be picked."""
    places_M = pool.picks_CM[row]
    return float(pool.correct_M[places_M == places_M.max()].mean())


def _chain_auroc(records: Sequence[ChainRecord]) -> dict[str, float | None]:
    """P(a right chain is scored above a wrong one of its problem), over problems that have both."""
    right = np.array([_is_right(record) for record in records])
    roots = [record.chain.problem.root_id for record in records]
    _, problems = np.unique(roots, return_inverse=True)
    found: dict[str, float | None] = {}
    for name, scorer in zip(_PICKS, (PRM, ORM), strict=True):
        scores = (record.scores_by(scorer) for record in records)
        least = np.array([min(s.known) for s in scores if s is not None])
        found[name] = auroc(least, right, problems)
    return found


def _is_right(record: ChainRecord) -> bool:
    return record.outcome is not None and record.outcome.is_correct
