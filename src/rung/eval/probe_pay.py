"""What chains are paid in all, in every way there is to pay by a scorer's scores: `paid_B`.

B chains.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rung.core import AGGREGATIONS, Chain, StepScores
from rung.eval.statistics import FloatArray
from rung.rl import Guards, Paying
from rung.rl.settings import Form

FORMS: dict[str, Form] = {
    "score_sum": "sum",
    "min_form": "min",
    "process_advantage": "progress",
    "difference": "difference",
    "implicit": "implicit",
}
"""Ways to pay steps, and what `rung rl --form` calls them."""
AT_THE_END = ("min", "product", "mean", "last")
"""Aggregations that can pay a whole chain at its end."""
UNGUARDED = Guards(blank_steps_pay=True)


def paid_by_step(
    chains: Sequence[Chain], scores: Sequence[Sequence[float]], guards: Guards
) -> dict[str, FloatArray]:
    """What `rung rl` pays for the steps, summed over each chain, by each of `FORMS`.

    `process_advantage` starts from 0. Unguarded, `difference` pays every chain the same, whatever
    the scores are: it is here to show it.

    Args:
        chains: With steps, one each at least.
        scores: Of every step.
        guards: Which steps may earn; `UNGUARDED` lets all.
    """
    from rung.rl.pay import judged, pay

    nobody = [False] * len(chains)
    told = [StepScores(tuple(steps), "probed") for steps in scores]
    found = judged(chains, nobody, told, range(len(chains)), guards)
    ways = {name: Paying(form=form, outcome_weight=0.0) for name, form in FORMS.items()}
    return {
        name: pay(found, paying).process_BS.double().sum(1).numpy() for name, paying in ways.items()
    }


def paid_at_the_end(scores: Sequence[Sequence[float]]) -> dict[str, FloatArray]:
    """What chains are paid by each of `AT_THE_END`."""
    return {name: np.array([AGGREGATIONS[name](steps) for steps in scores]) for name in AT_THE_END}
