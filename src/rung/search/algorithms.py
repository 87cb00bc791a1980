"""Every search by its name, with the few numbers that all of them understand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rung.core.errors import RungError
from rung.core.types import Chain
from rung.search.abort import EarlyAbort
from rung.search.adaptive import AdaptiveBestOfN, AdaptiveVote
from rung.search.allocate import Allocate
from rung.search.beam import Beam, Lookahead
from rung.search.dvts import Dvts
from rung.search.growth import Search, SpanningSearch
from rung.search.mcts import Mcts
from rung.search.particles import ParticleFilter
from rung.search.rebase import Rebase
from rung.search.rules import MAJORITY, WEIGHTED, AnswerKey
from rung.search.sampling import BestOfN
from rung.search.thresholds import NEVER

Algorithm = Literal[
    "best-of-n",
    "weighted",
    "majority",
    "beam",
    "dvts",
    "lookahead",
    "rebase",
    "mcts",
    "particles",
    "particle-gibbs",
    "adaptive",
    "adaptive-vote",
    "abort",
    "allocate",
]
"""The names of `ALGORITHMS`."""


def _same_text(chain: Chain) -> str | None:
    return chain.answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """What an algorithm may be told; each takes what it knows."""

    n: int = 16
    """Chains, steps a round or particles: what the algorithm calls N."""
    width: int = 4
    """Next steps behind a kept prefix (M); chains in a batch or in flight."""
    by: str = "min"
    """The aggregation that compares prefixes and chains."""
    seed: int = 0
    """Of the search's own draws."""
    answer_key: AnswerKey = _same_text
    """Compares answers, for votes."""
    error: float = 0.05
    """Of an adaptive vote."""
    below: float = -math.inf
    """Early abort gives up chains under this value."""
    enough: float = NEVER
    """Adaptive best-of-N and early abort end at this value."""
    look_every: int | None = None
    """Early abort looks inside steps after so many tokens each."""
    below_inside: float = -math.inf
    """Early abort gives up chains whose unfinished step scores less."""

    def __post_init__(self) -> None:
        for name in ("n", "width", "look_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RungError(f"{name} is {value}, expected at least 1")
        if not 0 < self.error < 1:
            raise RungError(f"the error is {self.error}, expected between 0 and 1")


ALGORITHMS: dict[str, Callable[[Knobs], Search | SpanningSearch]] = {
    "best-of-n": lambda k: BestOfN(n=k.n, rule=k.by),
    "weighted": lambda k: BestOfN(n=k.n, rule=WEIGHTED),
    "majority": lambda k: BestOfN(n=k.n, rule=MAJORITY),
    "beam": lambda k: Beam(n=k.n, width=k.width, by=k.by, rule=k.by),
    "dvts": lambda k: Dvts(n=k.n, width=k.width, by=k.by, rule=k.by),
    "lookahead": lambda k: Lookahead(n=k.n, width=k.width, by=k.by, rule=k.by),
    "rebase": lambda k: Rebase(n=k.n, by=k.by),
    "mcts": lambda k: Mcts(n=k.n, width=k.width, by=k.by, rule=k.by),
    "particles": lambda k: ParticleFilter(n=k.n, by=k.by, seed=k.seed, rule=k.by),
    "particle-gibbs": lambda k: ParticleFilter(
        n=k.n, iterations=4, by=k.by, seed=k.seed, rule=k.by
    ),
    "adaptive": lambda k: AdaptiveBestOfN(
        enough=k.enough, n=k.n, batch=k.width, by=k.by, rule=k.by
    ),
    "adaptive-vote": lambda k: AdaptiveVote(
        answer_key=k.answer_key, n=k.n, batch=k.width, error=k.error
    ),
    "abort": lambda k: EarlyAbort(
        below=k.below,
        enough=k.enough,
        look_every=k.look_every,
        below_inside=k.below_inside,
        n=k.n,
        in_flight=k.width,
        by=k.by,
        seed=k.seed,
        rule=k.by,
    ),
    "allocate": lambda k: Allocate(n=k.n, first=k.width, batch=k.width, by=k.by, rule=k.by),
}
"""One line an algorithm."""
UNSCORED = ("majority", "adaptive-vote")
"""Those that ask for no scores."""
