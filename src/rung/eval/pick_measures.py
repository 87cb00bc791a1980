"""Best-of-n as a measure to compare scorers by, beside majority."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rung.core import ChainRecord, RungError
from rung.eval.choose import reads_every_step
from rung.eval.curves import VOTE_SUBSETS, default_sizes
from rung.eval.measures import Measure, Statistic, common
from rung.eval.pools import Names, Pool, gather, same_answer
from rung.eval.statistics import FloatArray
from rung.eval.subsets import best_of_subset, draw_subsets, oracle_of_subset, vote_of_subsets

MAJORITY = "majority vote"


def best_of_n_measure(
    records: Sequence[ChainRecord],
    scorers: Sequence[str],
    *,
    rule: str,
    n: int | None = None,
    seed: int = 0,
) -> Measure:
    """Accuracy of the picked chain of n: PRMs by the rule, ORMs by their only score, and majority.

    Args:
        records: Chains with outcomes and scores; several a problem.
        scorers: Whose scores.
        rule: The aggregation of PRMs' step scores.
        n: Chains a problem; by default the most that nine problems in ten have.
        seed: Of the subsets that vote.

    Raises:
        RungError: No problem has enough checked chains that all scorers have read.
    """
    checked = [record for record in records if record.outcome is not None]
    found = common(checked, scorers, steps=False)
    columns = {name: _pools(found.records, name, rule) for name in found.scorers}
    pools = columns[found.scorers[0]][0]
    size = default_sizes(pools)[-1] if n is None else n
    kept = [k for k, pool in enumerate(pools) if len(pool) >= size]
    if not kept:
        most = max(map(len, pools))
        raise RungError(f"no problem has {size} chains that all have read; the most is {most}")
    statistics = {
        name: _mean_of([_picked(some[k], column, size) for k in kept])
        for name, (some, column) in columns.items()
    }
    rng = np.random.default_rng(seed)
    statistics[MAJORITY] = _mean_of([_voted(pools[k], size, rng) for k in kept])
    oracle = np.mean([oracle_of_subset(pools[k].correct_M, [size])[0] for k in kept])
    random = np.mean([pools[k].correct_M.mean() for k in kept])
    notes = [f"a random pick is right on {100 * random:.1f}%, the oracle on {100 * oracle:.1f}%"]
    if found.left_out:
        notes.append(f"{found.left_out} chains left out: not all have read them")
    num_chains = sum(len(pools[k]) for k in kept)
    name = f"best of {size} ({rule})"
    return Measure(name, statistics, len(kept), num_chains, note="; ".join(notes))


def has_choices(records: Sequence[ChainRecord]) -> bool:
    """Whether there are two checked chains a problem, on average."""
    checked = [r.chain.problem.root_id for r in records if r.outcome is not None]
    return bool(checked) and len(checked) >= 2 * len(set(checked))


def _pools(records: Sequence[ChainRecord], scorer: str, rule: str) -> tuple[list[Pool], int]:
    is_prm = reads_every_step(records, scorer)
    prm, orm = (scorer, None) if is_prm else (None, scorer)
    pools, names, _ = gather(records, prm=prm, orm=orm, answer_key=same_answer)
    return pools, _column(names, f"prm_{rule}" if is_prm else "orm")


def _column(names: Names, name: str) -> int:
    return names.picks.index(name)


def _picked(pool: Pool, column: int, n: int) -> float:
    return float(best_of_subset(pool.picks_CM[column], pool.correct_M, [n])[0])


def _voted(pool: Pool, n: int, rng: np.random.Generator) -> float:
    [rows] = draw_subsets(len(pool), [n], draws=VOTE_SUBSETS, rng=rng)
    return float(vote_of_subsets(rows, pool.keys_M, pool.votes_VM[:1], pool.correct_M)[0])


def _mean_of(correct: Sequence[float]) -> Statistic:
    correct_P = np.array(correct)

    def mean(weights_RP: FloatArray) -> FloatArray:
        return weights_RP @ correct_P / weights_RP.sum(axis=1)

    return mean
