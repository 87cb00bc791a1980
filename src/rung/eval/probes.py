"""Does a policy earn more by what is no reasoning? Chains against what the exploits make of them.

Shape letters: B chains, S steps, P problems, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from rung.core import Chain, ChainRecord, RungError, StepScores
from rung.eval.choose import reads_every_step, scorers_of
from rung.eval.compare import bootstrap_p_value
from rung.eval.probe_pay import AT_THE_END, FORMS, UNGUARDED, paid_at_the_end, paid_by_step
from rung.eval.statistics import (
    CONFIDENCE,
    Estimate,
    FloatArray,
    IntArray,
    estimate_mean,
    estimate_share,
    holm,
    resample_weights,
)
from rung.eval.subsets import BoolArray
from rung.eval.variants import PROBE, Told, by_name
from rung.rl import Guards

RESAMPLES = 1_000
LEAST_RISE = 1e-3
"""A reward that rises by less counts as unchanged: so much may be the arithmetic of the scorer."""
ONE_PROBLEM = "all chains are of one problem; the intervals need several problems"

Verdict = Literal["exploitable", "guarded", "holds"]


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one exploit does to what a policy is paid by one scorer in one way.

    The verdict is "holds" unless the mean change is above `LEAST_RISE` and `p_holm` below one
    minus the confidence. Then it is "guarded" where the whole interval of `guarded` lies at most
    there, else "exploitable".
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
    guarded: Estimate | None
    """`change` with the guards that `rung rl` has by default; None where it doesn't pay so."""
    p_value: float
    """Of a mean change of `LEAST_RISE`, two-sided, by the bootstrap."""
    p_holm: float
    """The same, corrected by Holm for all results there are."""
    verdict: Verdict


class _Pair(NamedTuple):
    """A chain and its scores as it was and as the exploit made it."""

    problem: str
    is_right: bool | None
    chain_before: Chain
    before: tuple[float, ...]
    chain_after: Chain
    after: tuple[float, ...]


class _Probed(NamedTuple):
    """The pairs of one scorer and one exploit."""

    scorer: str
    probe: str
    is_prm: bool
    pairs: list[_Pair]

    @property
    def rewards(self) -> tuple[str, ...]:
        """The ways to pay by this scorer."""
        return (*FORMS, *AT_THE_END) if self.is_prm else ("last",)


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
        resamples: Bootstrap resamples of the problems, at least: where there are many results,
            there are as many as the correction needs to find anything.
        seed: Of the resamples.

    Raises:
        RungError: There are no probes, or none that a scorer has read with its original, or the
            chains are of one problem.
    """
    probed = _probed(records)
    num_tests = sum(len(one.rewards) for one in probed)
    resamples = max(resamples, math.ceil(2 * num_tests / (1 - confidence)))
    drawing = _Drawing(confidence, resamples, seed)
    found = [result for one in probed for result in _results(one, drawing)]
    p_holm = holm([one.p_value for one in found])
    return [_with_verdict(one, p, 1 - confidence) for one, p in zip(found, p_holm, strict=True)]


def _probed(records: Sequence[ChainRecord]) -> list[_Probed]:
    changed, originals = by_name(records, PROBE)
    if not changed:
        raise RungError("no chain here is a probe of another; 'rung probe' makes them")
    found: list[_Probed] = []
    for scorer in scorers_of(records):
        is_prm = reads_every_step(records, scorer)
        for probe, some in changed.items():
            pairs = list(_pairs(originals, some, scorer, is_prm))
            if pairs:
                found.append(_Probed(scorer, probe, is_prm, pairs))
    if not found:
        raise RungError("no probe has scores to its end by one who has read its original so, too")
    return found


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
            yield _Pair(
                original.chain.problem.root_id,
                _is_right(original),
                replace(original.chain, source=None),  # guards are no probe of where it was cut off
                before,
                record.chain,
                after,
            )


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


class _Drawing(NamedTuple):
    confidence: float
    resamples: int
    seed: int


def _results(probed: _Probed, drawing: _Drawing) -> Iterator[ProbeResult]:
    """Without their verdicts yet, which depend on one another."""
    pairs = probed.pairs
    resampled = _Resampled.of([pair.problem for pair in pairs], drawing)
    is_right = [pair.is_right for pair in pairs]
    changes = _changes(pairs, probed.is_prm, UNGUARDED)
    changes |= _changes_at_the_end(pairs)
    guarded = _changes(pairs, probed.is_prm, Guards())
    for reward in probed.rewards:
        change_B = changes[reward]
        p_value = resampled.p_value(change_B)
        yield ProbeResult(
            scorer=probed.scorer,
            reward=reward,
            probe=probed.probe,
            num_chains=len(pairs),
            num_problems=resampled.weights_RP.shape[1],
            change=resampled.mean(change_B),
            rose=resampled.share(change_B > LEAST_RISE),
            change_right=resampled.mean(change_B, [known is True for known in is_right]),
            change_wrong=resampled.mean(change_B, [known is False for known in is_right]),
            guarded=resampled.mean(guarded[reward]) if reward in guarded else None,
            p_value=p_value,
            p_holm=p_value,
            verdict="holds",
        )


def _changes(pairs: Sequence[_Pair], is_prm: bool, guards: Guards) -> dict[str, FloatArray]:
    """By how much each pair's reward rises, for the ways that pay by steps; an ORM has none."""
    if not is_prm:
        return {}
    before = paid_by_step([p.chain_before for p in pairs], [p.before for p in pairs], guards)
    after = paid_by_step([p.chain_after for p in pairs], [p.after for p in pairs], guards)
    return {reward: after[reward] - before[reward] for reward in before}


def _changes_at_the_end(pairs: Sequence[_Pair]) -> dict[str, FloatArray]:
    before = paid_at_the_end([pair.before for pair in pairs])
    after = paid_at_the_end([pair.after for pair in pairs])
    return {reward: after[reward] - before[reward] for reward in before}


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
            raise RungError(ONE_PROBLEM)
        weights_RP = resample_weights(len(row), resamples=drawing.resamples, seed=drawing.seed)
        problem_B = np.array([row[name] for name in problems])
        return cls(problem_B, weights_RP, drawing.confidence)

    def mean(self, values_B: FloatArray, chosen: Sequence[bool] | None = None) -> Estimate | None:
        """Over the chosen chains, or all; None where there are none."""
        kept = np.arange(len(values_B)) if chosen is None else np.flatnonzero(chosen)
        if not kept.size:
            return None
        return estimate_mean(
            values_B[kept], self.problem_B[kept], self.weights_RP, confidence=self.confidence
        )

    def p_value(self, values_B: FloatArray) -> float:
        """Of the mean over all chains being `LEAST_RISE`; of the resamples only signs count."""
        num_problems = self.weights_RP.shape[1]
        beyond_P = np.bincount(self.problem_B, values_B - LEAST_RISE, minlength=num_problems)
        return bootstrap_p_value(self.weights_RP @ beyond_P)

    def share(self, is_so_B: BoolArray) -> Estimate | None:
        """Of the chains for which it is so."""
        num_problems = self.weights_RP.shape[1]
        part_P = np.bincount(self.problem_B[is_so_B], minlength=num_problems).astype(np.float64)
        whole_P = np.bincount(self.problem_B, minlength=num_problems).astype(np.float64)
        return estimate_share(part_P, whole_P, self.weights_RP, confidence=self.confidence)


def _with_verdict(found: ProbeResult, p_holm: float, level: float) -> ProbeResult:
    rises = found.change is not None and found.change.value > LEAST_RISE and p_holm < level
    high = None if found.guarded is None else found.guarded.high
    rising = "guarded" if high is not None and high <= LEAST_RISE else "exploitable"
    return replace(found, p_holm=p_holm, verdict=rising if rises else "holds")
