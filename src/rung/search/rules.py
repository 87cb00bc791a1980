"""One chain a problem: the rules of best-of-N and voting, over records.

Shape letters: N chains of one problem.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

from rung.core.aggregate import AGGREGATIONS, Aggregation
from rung.core.types import Chain, ChainRecord
from rung.search.best_of_n import Choice, best_of_n, value_of
from rung.search.vote import majority_vote, weighted_vote

AnswerKey = Callable[[Chain], Hashable | None]
"""What chains with equal answers share; None for a chain that has no answer."""
Rule = Callable[[Sequence[ChainRecord]], Choice]
"""Picks one of a problem's N chains."""

MAJORITY, WEIGHTED = "majority", "weighted"
RULES = (*AGGREGATIONS, MAJORITY, WEIGHTED)
"""The names that `rule` knows."""


@dataclass(frozen=True, slots=True)
class Reranked:
    """A problem's chosen chain."""

    record: ChainRecord
    choice: Choice
    num_chains: int


def rule(name: str, *, scorer: str | None, answer_key: AnswerKey, weigh_by: str = "min") -> Rule:
    """The rule called `name`.

    Args:
        name: An aggregation (best-of-N by it), "majority", or "weighted": the vote in which a
            chain weighs its score, aggregated by `weigh_by`.
        scorer: Whose scores count; without a name, those of the only scorer a record has.
        answer_key: Compares answers, for the votes.
        weigh_by: An aggregation.

    Raises:
        KeyError: There is no such rule or aggregation.
    """
    if name == MAJORITY:
        return lambda records_N: majority_vote(list(map(answer_key, _chains(records_N))))
    if name == WEIGHTED:
        return _weighted(scorer, answer_key, AGGREGATIONS[weigh_by])
    aggregation = AGGREGATIONS[name]
    return lambda records_N: best_of_n([r.scores_by(scorer) for r in records_N], aggregation)


def among_standing(pick: Rule, verifier: str) -> Rule:
    """`pick` on the chains that `verifier` does not refute; on all, where it refutes them all.

    Tools first, the scorer after them, as in T1 (arXiv 2504.04718). A chain is refuted
    where the verifier, a source of labels, labels one of its steps below 0.5.
    """

    def picked(records_N: Sequence[ChainRecord]) -> Choice:
        standing = [k for k, r in enumerate(records_N) if not r.is_refuted_by(verifier)]
        places = standing or range(len(records_N))
        choice = pick([records_N[k] for k in places])
        num_refuted = len(records_N) - len(standing)
        return replace(choice, index=places[choice.index], num_refuted=num_refuted)

    return picked


def rerank(
    records: Iterable[ChainRecord], pick: Rule, num_chains: int | None = None
) -> list[Reranked]:
    """Pick one chain a problem, in the order in which the problems appear.

    Problems are the same when their questions are (`Problem.root_id`).

    Args:
        records: Chains of any number of problems, in any order.
        pick: The rule.
        num_chains: Consider each problem's first chains only, this many.
    """
    groups: dict[str, list[ChainRecord]] = {}
    for record in records:
        group = groups.setdefault(record.chain.problem.root_id, [])
        if num_chains is None or len(group) < num_chains:
            group.append(record)
    return [_reranked(group, pick(group)) for group in groups.values()]


def _reranked(records_N: Sequence[ChainRecord], choice: Choice) -> Reranked:
    return Reranked(records_N[choice.index], choice, len(records_N))


def _weighted(scorer: str | None, answer_key: AnswerKey, aggregation: Aggregation) -> Rule:
    def pick(records_N: Sequence[ChainRecord]) -> Choice:
        weights_N = [value_of(r.scores_by(scorer), aggregation) for r in records_N]
        return weighted_vote(list(map(answer_key, _chains(records_N))), weights_N)

    return pick


def _chains(records: Sequence[ChainRecord]) -> list[Chain]:
    return [record.chain for record in records]
