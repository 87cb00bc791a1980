"""Pick among chains (best-of-N, votes), and search for good ones while they are written."""

from rung.search.abort import EarlyAbort
from rung.search.adaptive import AdaptiveBestOfN, AdaptiveVote
from rung.search.algorithms import ALGORITHMS, Knobs
from rung.search.allocate import Allocate
from rung.search.beam import Beam, Lookahead
from rung.search.best_of_n import Choice, Rank, best_of_n, rank_of, value_of
from rung.search.budget import Budget, Prices, Spent
from rung.search.dvts import Dvts
from rung.search.growth import Expand, Grown, Growth, Search, SpanningSearch
from rung.search.log import SearchLog
from rung.search.mcts import Mcts
from rung.search.particles import ParticleFilter
from rung.search.rebase import Rebase
from rung.search.result import SearchResult
from rung.search.rules import RULES, AnswerKey, Reranked, Rule, among_standing, rerank, rule
from rung.search.run import Busy, Setting, run_searches
from rung.search.sampling import BestOfN
from rung.search.thresholds import NEVER, abort_below, abort_inside_below, stop_above
from rung.search.vote import majority_vote, weighted_vote

__all__ = [
    "ALGORITHMS",
    "NEVER",
    "RULES",
    "AdaptiveBestOfN",
    "AdaptiveVote",
    "Allocate",
    "AnswerKey",
    "Beam",
    "BestOfN",
    "Budget",
    "Busy",
    "Choice",
    "Dvts",
    "EarlyAbort",
    "Expand",
    "Grown",
    "Growth",
    "Knobs",
    "Lookahead",
    "Mcts",
    "ParticleFilter",
    "Prices",
    "Rank",
    "Rebase",
    "Reranked",
    "Rule",
    "Search",
    "SearchLog",
    "SearchResult",
    "Setting",
    "SpanningSearch",
    "Spent",
    "abort_below",
    "abort_inside_below",
    "among_standing",
    "best_of_n",
    "majority_vote",
    "rank_of",
    "rerank",
    "rule",
    "run_searches",
    "stop_above",
    "value_of",
    "weighted_vote",
]
