"""Scored chains in a small file that `rung rerank` and `rung eval` read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rung.core import Chain, ChainRecord, Problem, StepScores

DIGITS = 5


def compact(records: Iterable[ChainRecord]) -> list[ChainRecord]:
    """Chains with their outcomes and scores of `DIGITS` digits, and nothing else."""
    return [
        ChainRecord(_plain(r.chain), scores=tuple(map(_rounded, r.scores)), outcome=r.outcome)
        for r in records
    ]


def _plain(chain: Chain) -> Chain:
    problem = Problem(chain.problem.id, chain.problem.question, chain.problem.answer)
    return Chain(problem, chain.steps, chain.answer)


def _rounded(scores: StepScores) -> StepScores:
    rounded = tuple(None if score is None else round(score, DIGITS) for score in scores.scores)
    return replace(scores, scores=rounded)
