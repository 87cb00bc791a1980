"""Records to arrays: each problem's chains, ready to be picked among.

M is the number of chains of one problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from rung.core import AGGREGATIONS, Aggregation, Chain, ChainRecord, RungError
from rung.eval.statistics import FloatArray
from rung.eval.subsets import BoolArray, IntArray
from rung.search.best_of_n import Rank, rank_of, value_of
from rung.verify.answer import answer_of
from rung.verify.normalize import normalize, number_within

AnswerKey = Callable[[str], str | None]
"""From an answer's text to what equal answers share; None when the text is no answer."""

NO_VOTE = -1


def same_answer(answer: str) -> str | None:
    """The key under which answers are voted for: their number, or their normalized text."""
    text = normalize(answer)
    number = number_within(text)
    return str(number) if number is not None else text or None


def answer_key(chain: Chain) -> str | None:
    """What chains with equal answers share; None for a chain without an answer."""
    answer = answer_of(chain)
    return None if answer is None else same_answer(answer)


@dataclass(slots=True)
class ChainCounts:
    """What became of the chains that were given."""

    used: int = 0
    without_outcome: int = 0
    """Left out: nobody checked the final answer."""
    without_scores: int = 0
    """Left out: a scorer that is compared has not read them."""
    in_small_problems: int = 0
    """Left out with their problems, which have fewer chains than the curves are long."""
    partly_scored: int = 0
    """Used: some steps lie beyond the PRM's context; the rules see the others, and chains whose
    last step is one of these stand behind all others."""
    without_answer: int = 0
    """Used: they have no vote."""
    refuted: int = 0
    """Used: the verifier calls one of their steps wrong."""
    right_but_refuted: int = 0
    """Those of them whose answer is right all the same."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One problem's chains: were they right, what do they answer, how good do they look."""

    correct_M: FloatArray
    keys_M: IntArray
    """Equal answers have equal numbers, `NO_VOTE` where there is none."""
    picks_CM: FloatArray
    """For each rule that picks the best: the chain's place, 0 is worst, equals share it."""
    votes_VM: FloatArray
    """For each way to vote: what a chain's vote weighs."""
    refuted_M: BoolArray
    """The verifier calls a step wrong; nowhere without a verifier."""
    num_partly_scored: int

    def __len__(self) -> int:
        return len(self.correct_M)


class Names(NamedTuple):
    """The rows of a pool's arrays."""

    picks: tuple[str, ...]
    votes: tuple[str, ...]


class _Row(NamedTuple):
    correct: bool
    key: str | None
    picks: tuple[Rank, ...]
    votes: tuple[float, ...]
    partly_scored: bool
    refuted: bool


@dataclass(frozen=True, slots=True)
class _Compared:
    prm: str | None
    orm: str | None
    verifier: str | None
    answer_key: AnswerKey

    def rules(self) -> list[tuple[str, list[Aggregation]]]:
        """Each scorer with how its scores are combined; an ORM has one score a chain."""
        prm = [] if self.prm is None else [(self.prm, list(AGGREGATIONS.values()))]
        orm = [] if self.orm is None else [(self.orm, [AGGREGATIONS["last"]])]
        return [*prm, *orm]

    def names(self) -> Names:
        prm = [f"prm_{rule}" for rule in AGGREGATIONS] if self.prm is not None else []
        orm = ["orm"] if self.orm is not None else []
        weighted = [f"weighted_{name}" for name in (*prm, *orm)]
        return Names((*prm, *orm), ("majority", *weighted))

    def read(self, record: ChainRecord) -> _Row | None:
        """The chain's numbers; None when a compared scorer has nothing to say of it."""
        picks: list[Rank] = []
        votes = [1.0]
        partly_scored = False
        for scorer, rules in self.rules():
            scores = record.scores_by(scorer)
            if scores is None:
                return None
            picks += [rank_of(scores, rule) for rule in rules]
            votes += [value_of(scores, rule) or 0.0 for rule in rules]
            partly_scored |= scorer == self.prm and None in scores.scores
        answer = answer_of(record.chain)
        key = None if answer is None else self.answer_key(answer)
        correct = record.outcome is not None and record.outcome.is_correct
        refuted = self.verifier is not None and record.is_refuted_by(self.verifier)
        return _Row(correct, key, tuple(picks), tuple(votes), partly_scored, refuted)


@dataclass(slots=True)
class _Seen:
    counts: ChainCounts = field(default_factory=ChainCounts)
    rows: dict[str, list[_Row]] = field(default_factory=dict[str, list[_Row]])
    scorers: dict[str, None] = field(default_factory=dict[str, None])
    sources: dict[str, None] = field(default_factory=dict[str, None])
    """Of labels."""


def gather(
    records: Iterable[ChainRecord],
    *,
    prm: str | None,
    orm: str | None,
    verifier: str | None = None,
    answer_key: AnswerKey,
) -> tuple[list[Pool], Names, ChainCounts]:
    """Group checked and scored chains by problem.

    Problems are the same when their questions are (`Problem.root_id`). A scorer's curves are
    only made when it is named; a chain that it left out is left out of every curve, so that all
    curves are about the same chains. The verifier is a source of labels.

    Raises:
        RungError: No chain can be used: none given, none checked, or none scored. Or none has a
            label from the verifier.
    """
    compared, seen = _Compared(prm, orm, verifier, answer_key), _Seen()
    for record in records:
        seen.scorers.update((scores.scorer, None) for scores in record.scores)
        seen.sources.update((labels.source, None) for labels in record.labels)
        row = compared.read(record)
        if record.outcome is None:
            seen.counts.without_outcome += 1
        elif row is None:
            seen.counts.without_scores += 1
        else:
            seen.rows.setdefault(record.chain.problem.root_id, []).append(row)
    if not seen.rows:
        raise RungError(_why_nothing(seen, prm, orm))
    if verifier is not None and verifier not in seen.sources:
        present = ", ".join(map(repr, seen.sources)) or "nobody"
        raise RungError(f"no chain has labels from {verifier!r}; there are labels from {present}")
    return [_pool(rows) for rows in seen.rows.values()], compared.names(), seen.counts


def _pool(rows: list[_Row]) -> Pool:
    numbers: dict[str, int] = {}
    keys = [
        NO_VOTE if row.key is None else numbers.setdefault(row.key, len(numbers)) for row in rows
    ]
    return Pool(
        correct_M=np.array([row.correct for row in rows], dtype=np.float64),
        keys_M=np.array(keys, dtype=np.int64),
        picks_CM=np.array(
            [_places(column) for column in zip(*(row.picks for row in rows), strict=True)]
        ),
        votes_VM=np.array([row.votes for row in rows]).T,
        refuted_M=np.array([row.refuted for row in rows]),
        num_partly_scored=sum(row.partly_scored for row in rows),
    )


def _places(ranks_M: Sequence[Rank]) -> list[float]:
    place = {rank: float(index) for index, rank in enumerate(sorted(set(ranks_M)))}
    return [place[rank] for rank in ranks_M]


def _why_nothing(seen: _Seen, prm: str | None, orm: str | None) -> str:
    if seen.counts.without_scores:
        wanted = " and ".join(repr(name) for name in (prm, orm) if name is not None)
        present = ", ".join(map(repr, seen.scorers)) or "nobody"
        return f"no checked chain has scores by {wanted}; there are scores by {present}"
    if seen.counts.without_outcome:
        return (
            f"none of the {seen.counts.without_outcome} chains has an outcome; "
            "'rung label verify' checks final answers"
        )
    return "there are no chains to compare"
