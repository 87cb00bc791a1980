"""How often a rule's pick among n chains is right, problem by problem."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rung.core import ChainRecord
from rung.eval.pools import gather, same_answer
from rung.eval.statistics import FloatArray
from rung.eval.subsets import best_of_subset


def picks(
    records: Sequence[ChainRecord], scorer: str, rules: Sequence[str], ns: Sequence[int]
) -> FloatArray:
    """The share of subsets of n chains whose best chain is right: `right_RPN`.

    One row a rule, then one a problem in the order of the records, then one an n.

    Raises:
        RungError: No chain has an outcome and scores by the scorer.
    """
    pools, names, _ = gather(records, prm=scorer, orm=None, answer_key=same_answer)
    rows = [names.picks.index(f"prm_{rule}") for rule in rules]
    return np.array(
        [[best_of_subset(pool.picks_CM[row], pool.correct_M, ns) for pool in pools] for row in rows]
    )
