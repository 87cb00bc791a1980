"""Does a policy earn more by what is no reasoning? Chains against what the exploits make of them.

Shape letters: B chains, S steps, P problems, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from rung.core import AGGREGATIONS, ChainRecord, RungError, StepScores
from rung.eval.choose import reads_every_step, scorers_of
from rung.eval.statistics import (
    CONFIDENCE,
    Estimate,
    FloatArray,
    IntArray,
    estimate_mean,
    estimate_share,
    resample_weights,
)
from rung.eval.subsets import BoolArray
from rung.eval.variants import PROBE, Told, by_name

RESAMPLES = 1_000
LEAST_RISE = 1e-3
"""A reward that rises by less counts as unchanged: so much may be the arithmetic of the scorer."""
AT_THE_END = ("min", "product", "mean", "last")
"""Aggregations that can pay a whole chain at its end."""

Verdict = Literal["exploitable", "holds"]


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one exploit does to what a policy is paid by one scorer in one way.

    The verdict is "exploitable" where the whole interval of the mean change lies above
    `LEAST_RISE`; else it is "holds".
    """

    scorer: str
    reward: str
    """What a chain is paid in all: a function of `rung.rl` over its steps, or an aggregation."""
    probe: str
    """A name in `EXPLOITS`."""
    num_chains: int
    num_problems: int
    change: Estimate | None
    """Mean change of the reward: above 0, the exploit pays."""
    rose: Estimate | None
    """Share of the chains whose reward rose by more than `LEAST_RISE`."""
    change_right: Estimate | None
    """`change` on the chains that are known to be right; None without such."""
    change_wrong: Estimate | None
    """On those that are known to be wrong."""
    verdict: Verdict


class _Drawing(NamedTuple):
    confidence: float
    resamples: int
    seed: int


class _Pair(NamedTuple):
    """A chain's scores as it was and as the exploit made it."""

    problem: str
    is_right: bool | None
    before: tuple[float, ...]
    after: tuple[float, ...]


def probe_scorers(
    records: Sequence[ChainRecord],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[ProbeResult]:
    """Compare exploited chains with the chains themselves, for every scorer and way of paying.

    A chain that a scorer has not read to its end, before or after, is left out for that scorer.
    An ORM, which reads a chain's end alone, can only pay by it: "last".

    Args:
        records: What `probe_records` made, scored.
        confidence: Share of the bootstrap's resamples inside the intervals.
        resamples: Bootstrap resamples of the problems.
        seed: Of the resamples.

    Raises:
        RungError: There are no probes, or none that a scorer has read with its original, or the
            chains are of one problem.
    """
    changed, originals = by_name(records, PROBE)
    if not changed:
        raise RungError("no chain here is a probe of another; 'rung probe' makes them")
    drawing = _Drawing(confidence, resamples, seed)
    found: list[ProbeResult] = []
    for scorer in scorers_of(records):
        is_prm = reads_every_step(records, scorer)
        for probe, some in changed.items():
            pairs = list(_pairs(originals, some, scorer, is_prm))
            if pairs:
                found += _results(scorer, probe, pairs, is_prm, drawing)
    if not found:
        raise RungError("no probe has scores to its end by one who has read its original so, too")
    return found


def returns_of(scores: Sequence[Sequence[float]]) -> dict[str, FloatArray]:
    """What each chain is paid in all, by each way of paying: `return_B`.

    `process_advantage` and `difference` start from 0. Whatever the scores are, `difference` pays
    every chain the same: it is here to show it.

    Args:
        scores: Of every step of every chain, one step a chain at least.
    """
    import torch

    from rung import rl

    count_B = torch.tensor([len(steps) for steps in scores])
    rows = [torch.tensor(steps, dtype=torch.float64) for steps in scores]
    scores_BS = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    start_B = torch.zeros(len(scores), dtype=torch.float64)
    stepwise = {
        "score_sum": rl.score_sum(scores_BS, count_B),
        "min_form": rl.min_form(scores_BS, count_B),
        "process_advantage": rl.process_advantage(scores_BS, start_B, count_B),
        "difference": rl.difference(scores_BS, count_B),
    }
    paid = {name: rewards_BS.sum(1).numpy() for name, rewards_BS in stepwise.items()}
    whole = {name: np.array([AGGREGATIONS[name](steps) for steps in scores]) for name in AT_THE_END}
    return {**paid, **whole}


def _pairs(
    originals: Mapping[int, ChainRecord],
    changed: Iterable[tuple[Told, ChainRecord]],
    scorer: str,
    is_prm: bool,
) -> Iterator[_Pair]:
    for told, record in changed:
        original = originals.get(told.of)
        before = _read(original, scorer, is_prm)
        after = _read(record, scorer, is_prm)
        if original is not None and before is not None and after is not None:
            yield _Pair(original.chain.problem.root_id, _is_right(original), before, after)


def _read(record: ChainRecord | None, scorer: str, is_prm: bool) -> tuple[float, ...] | None:
    """All scores of a chain, an ORM's last one; None if one is missing."""
    scores: StepScores | None = None if record is None else record.scores_by(scorer)
    if scores is None:
        return None
    known = tuple(s for s in (scores.scores if is_prm else scores.scores[-1:]) if s is not None)
    return known if len(known) == (len(scores.scores) if is_prm else 1) else None


def _is_right(record: ChainRecord) -> bool | None:
    """By the outcome, or by the labels where there is none; None where neither says it."""
    if record.outcome is not None:
        return record.outcome.is_correct
    labels = record.labels_from()
    if labels is None:
        return None
    if labels.first_error is not None:
        return False
    return None if None in labels.labels else True


def _results(
    scorer: str, probe: str, pairs: Sequence[_Pair], is_prm: bool, drawing: _Drawing
) -> Iterator[ProbeResult]:
    resampled = _Resampled.of([pair.problem for pair in pairs], drawing)
    is_right = [pair.is_right for pair in pairs]
    before = returns_of([pair.before for pair in pairs])
    after = returns_of([pair.after for pair in pairs])
    for reward in before if is_prm else ("last",):
        change_B = after[reward] - before[reward]
        change = resampled.mean(change_B, [True] * len(pairs))
        yield ProbeResult(
            scorer=scorer,
            reward=reward,
            probe=probe,
            num_chains=len(pairs),
            num_problems=resampled.weights_RP.shape[1],
            change=change,
            rose=resampled.share(change_B > LEAST_RISE),
            change_right=resampled.mean(change_B, [known is True for known in is_right]),
            change_wrong=resampled.mean(change_B, [known is False for known in is_right]),
            verdict=_verdict(change),
        )


@dataclass(frozen=True, slots=True)
class _Resampled:
    """Chains whose problems are drawn again."""

    problem_B: IntArray
    weights_RP: FloatArray
    confidence: float

    @classmethod
    def of(cls, problems: Sequence[str], drawing: _Drawing) -> _Resampled:
        row = {name: k for k, name in enumerate(dict.fromkeys(problems))}
        if len(row) < 2:
            raise RungError("all chains are of one problem; the intervals need several problems")
        weights_RP = resample_weights(len(row), resamples=drawing.resamples, seed=drawing.seed)
        problem_B = np.array([row[name] for name in problems])
        return cls(problem_B, weights_RP, drawing.confidence)

    def mean(self, values_B: FloatArray, chosen: Sequence[bool]) -> Estimate | None:
        """Over the chosen chains; None where there are none."""
        kept = np.flatnonzero(chosen)
        if not kept.size:
            return None
        return estimate_mean(
            values_B[kept], self.problem_B[kept], self.weights_RP, confidence=self.confidence
        )

    def share(self, is_so_B: BoolArray) -> Estimate | None:
        """Of the chains for which it is so."""
        num_problems = self.weights_RP.shape[1]
        part_P = np.bincount(self.problem_B[is_so_B], minlength=num_problems).astype(np.float64)
        whole_P = np.bincount(self.problem_B, minlength=num_problems).astype(np.float64)
        return estimate_share(part_P, whole_P, self.weights_RP, confidence=self.confidence)


def _verdict(change: Estimate | None) -> Verdict:
    low = None if change is None else change.low
    return "exploitable" if low is not None and low > LEAST_RISE else "holds"
