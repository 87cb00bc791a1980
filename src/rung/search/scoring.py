"""Scores of chains that grow: a step costs its own tokens where the scorer can do that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from rung.core.protocols import Scorer
from rung.core.types import Chain, Problem, StepScores


class GrowingScorer(Protocol):
    """Scores prefixes as a search writes them."""

    @property
    def name(self) -> str:
        """The scorer's name."""
        ...

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """One `StepScores` a chain, in order."""
        ...

    def forget(self, problem: Problem) -> None:
        """The search of this problem is over."""
        ...


def growing(scorer: Scorer) -> GrowingScorer:
    """The scorer with a session where it is one of rung's PRMs, else as it is."""
    is_prm = getattr(scorer, "kind", None) == "prm" and hasattr(scorer, "open")
    return InSession(scorer) if is_prm else WholeChains(scorer)


class WholeChains:
    """Any scorer: every chain is scored from its beginning."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.name = scorer.name

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score them together."""
        return self._scorer.score(chains)

    def forget(self, problem: Problem) -> None:
        """Nothing is kept."""


class InSession:
    """One of rung's PRMs: the keys and values of living prefixes are kept.

    Chains that lack more than one step, such as whole sampled ones, are scored in one pass.
    """

    def __init__(self, scorer: Any) -> None:
        self._scorer = scorer
        self.name: str = scorer.name
        self._session: Any = None
        self._known: dict[str, dict[str, float | None]] = {}
        """By problem: the score of each step id."""
        self._live: dict[str, set[str]] = {}
        """By problem: the prefixes that the session holds."""

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score what is new in them."""
        new = [chain for chain in chains if chain.steps[-1].id not in self._of(chain)]
        grown = {chain.prefix_id: chain for chain in new if self._lacks_one(chain)}
        whole = [chain for chain in new if chain.prefix_id not in grown]
        if grown:
            self._extend(list(grown.values()))
        if whole:
            for chain, scores in zip(whole, self._scorer.score(whole), strict=True):
                pairs = zip(chain.steps, scores.scores, strict=True)
                self._of(chain).update((step.id, score) for step, score in pairs)
        return [self._scores(chain) for chain in chains]

    def forget(self, problem: Problem) -> None:
        """Give back the memory of its prefixes."""
        self._known.pop(problem.root_id, None)
        if self._session is not None:
            self._session.drop(self._live.pop(problem.root_id, ()))

    def _extend(self, chains: Sequence[Chain]) -> None:
        for chain in chains:
            self._take_up(chain.problem)
        before = [_before(chain) for chain in chains]
        steps = [chain.steps[-1] for chain in chains]
        for chain, scored in zip(chains, self._session.extend(before, steps), strict=True):
            self._of(chain)[scored.id] = scored.score
            self._live[chain.problem.root_id].add(scored.id)

    def _take_up(self, problem: Problem) -> None:
        if self._session is None:
            self._session = self._scorer.open(problem)
        if problem.root_id not in self._live:
            self._live[problem.root_id] = {self._session.add(problem)}

    def _lacks_one(self, chain: Chain) -> bool:
        live = self._live.get(chain.problem.root_id, ())
        return len(chain.steps) == 1 or _before(chain) in live

    def _of(self, chain: Chain) -> dict[str, float | None]:
        return self._known.setdefault(chain.problem.root_id, {})

    def _scores(self, chain: Chain) -> StepScores:
        known = self._of(chain)
        scores = tuple(known[step.id] for step in chain.steps)
        return StepScores(scores, self.name, self._scorer.weights_hash)


def _before(chain: Chain) -> str:
    """The prefix before the last step."""
    return chain.steps[-2].id if len(chain.steps) > 1 else chain.problem.root_id
