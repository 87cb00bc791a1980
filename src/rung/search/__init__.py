"""Pick among chains: best-of-N and votes."""

from rung.search.best_of_n import Choice, Rank, best_of_n, rank_of, value_of
from rung.search.rules import RULES, AnswerKey, Reranked, Rule, rerank, rule
from rung.search.vote import majority_vote, weighted_vote

__all__ = [
    "RULES",
    "AnswerKey",
    "Choice",
    "Rank",
    "Reranked",
    "Rule",
    "best_of_n",
    "majority_vote",
    "rank_of",
    "rerank",
    "rule",
    "value_of",
    "weighted_vote",
]
