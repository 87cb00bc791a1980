"""Scores of chains that grow: a step costs its own tokens where the scorer can do that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from rung.core.protocols import Scorer
from rung.core.types import Chain, Problem, StepScores
from rung.score.ensemble import StrictestScorer
from rung.search.growth import is_part


class GrowingScorer(Protocol):
    """Scores prefixes as a search writes them."""

    @property
    def name(self) -> str:
        """The scorer's name."""
        ...

    @property
    def reads_unfinished_steps(self) -> bool:
        """Whether the last step of a chain may be one that is still being written."""
        ...

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """One `StepScores` a chain, in order.

        A last step that is not whole (`growth.is_part`) has the score of its whole words, None
        where there are none.
        """
        ...

    def forget(self, problem: Problem) -> None:
        """The search of this problem is over."""
        ...


def growing(scorer: Scorer, *, max_kept_mib: float | None = None) -> GrowingScorer:
    """The scorer with a session where it is a PRM that has them, else as it is.

    Of a `StrictestScorer` each one grows by itself.

    Args:
        scorer: Any.
        max_kept_mib: Memory for the keys and values that its session keeps; None keeps all.
    """
    if isinstance(scorer, StrictestScorer):
        return Strictest(scorer, max_kept_mib)
    is_prm = getattr(scorer, "kind", None) == "prm" and getattr(scorer, "has_sessions", False)
    return InSession(scorer, max_kept_mib) if is_prm else WholeChains(scorer)


class WholeChains:
    """Any scorer: every chain is scored from its beginning."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.name = scorer.name
        self.reads_unfinished_steps = False

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score them together."""
        return self._scorer.score(chains)

    def forget(self, problem: Problem) -> None:
        """Nothing is kept."""


class Strictest:
    """Several scorers, as a PRM and a verifier's labels: the least of what they say of a step."""

    def __init__(self, scorer: StrictestScorer, max_kept_mib: float | None = None) -> None:
        self._scorer = scorer
        self._each = [growing(one, max_kept_mib=max_kept_mib) for one in scorer.scorers]
        self.name = scorer.name
        self.reads_unfinished_steps = all(one.reads_unfinished_steps for one in self._each)

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score with all of them."""
        found = [one.score(chains) for one in self._each]
        return [self._scorer.least(of_chain) for of_chain in zip(*found, strict=True)]

    def forget(self, problem: Problem) -> None:
        """All of them give back its memory."""
        for one in self._each:
            one.forget(problem)


class InSession:
    """One of rung's PRMs: the keys and values of living prefixes are kept.

    Chains that lack more than one step, such as whole sampled ones, are scored in one pass.
    """

    def __init__(self, scorer: Any, max_kept_mib: float | None = None) -> None:
        self._scorer, self._max_kept_mib = scorer, max_kept_mib
        self.name: str = scorer.name
        self.reads_unfinished_steps: bool = scorer.reads_unfinished_steps
        self._session: Any = None
        self._known: dict[str, dict[str, float | None]] = {}
        """By problem: the score of each step id."""
        self._live: dict[str, set[str]] = {}
        """By problem: the prefixes that the session holds."""
        self._looked: dict[str, set[str]] = {}
        """By problem: those whose last step is a part, which can't be extended."""

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score what is new in them."""
        looks = self._look([chain for chain in chains if is_part(chain)])
        whole = [chain for chain in chains if not is_part(chain)]
        self._score_whole(whole)
        return [self._scores(chain, looks.get(chain.prefix_id)) for chain in chains]

    def _score_whole(self, chains: Sequence[Chain]) -> None:
        new = [chain for chain in chains if chain.steps[-1].id not in self._of(chain)]
        grown = {chain.prefix_id: chain for chain in new if self._lacks_one(chain)}
        whole = [chain for chain in new if chain.prefix_id not in grown]
        if grown:
            self._extend(list(grown.values()))
        if whole:
            for chain, scores in zip(whole, self._scorer.score(whole), strict=True):
                pairs = zip(chain.steps, scores.scores, strict=True)
                self._of(chain).update((step.id, score) for step, score in pairs)

    def _look(self, chains: Sequence[Chain]) -> dict[str, float | None]:
        """By the chain's prefix id: the score of what there is of its last step."""
        texts = {chain.prefix_id: whole_words(chain.texts[-1]) for chain in chains}
        before = {chain.prefix_id: self._live_before(chain) for chain in chains}
        read = [chain for chain in chains if texts[chain.prefix_id]]
        if not read:
            return {}
        names = [chain.prefix_id for chain in read]
        peeked = self._session.peek(
            [before[name] for name in names], [texts[name] for name in names], hold=True
        )
        for chain, look in zip(read, peeked, strict=True):
            self._looked.setdefault(chain.problem.root_id, set()).add(look.id)
        return {chain.prefix_id: look.score for chain, look in zip(read, peeked, strict=True)}

    def _live_before(self, chain: Chain) -> str:
        """The prefix before the last step, taken up if it was scored elsewhere."""
        self._take_up(chain.problem)
        live = self._live[chain.problem.root_id]
        steps = chain.steps[:-1]
        held = max((k for k, step in enumerate(steps, start=1) if step.id in live), default=0)
        for k in range(held, len(steps)):
            self._extend([chain.prefix(k + 1)])
        return _before(chain)

    def forget(self, problem: Problem) -> None:
        """Give back the memory of its prefixes."""
        self._known.pop(problem.root_id, None)
        if self._session is not None:
            self._session.drop(self._live.pop(problem.root_id, ()))
            self._session.drop(self._looked.pop(problem.root_id, ()))

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
            self._session = self._scorer.open(problem, max_kept_mib=self._max_kept_mib)
        if problem.root_id not in self._live:
            self._live[problem.root_id] = {self._session.add(problem)}

    def _lacks_one(self, chain: Chain) -> bool:
        live = self._live.get(chain.problem.root_id, ())
        return len(chain.steps) == 1 or _before(chain) in live

    def _of(self, chain: Chain) -> dict[str, float | None]:
        return self._known.setdefault(chain.problem.root_id, {})

    def _scores(self, chain: Chain, look: float | None) -> StepScores:
        known = self._of(chain)
        scores = [known[step.id] for step in (chain.steps[:-1] if is_part(chain) else chain.steps)]
        scores += [look] if is_part(chain) else []
        return StepScores(tuple(scores), self.name, self._scorer.weights_hash)


def whole_words(text: str) -> str:
    """What is written of a step up to its last whole word; the next one may still grow."""
    return "".join(re.split(r"(\s+)", text)[:-2])


def openings(text: str) -> list[str]:
    """All that `whole_words` can make of a step while it is written."""
    ends = (match.start() for match in re.finditer(r"(?<=\S)\s+", text))
    return [text[:end] for end in ends]


def looks_inside(scorer: Any, chain: Chain) -> list[float]:
    """The scores that a chain's steps have while they are written, at every whole word.

    Args:
        scorer: One of rung's PRMs that reads unfinished steps.
        chain: A whole one.
    """
    session = scorer.open(chain.problem)
    before, found = chain.problem.root_id, list[float]()
    for step in chain.steps:
        texts = openings(step.text)
        looks = session.peek([before] * len(texts), texts)
        found += [look.score for look in looks if look.score is not None]
        [scored] = session.extend([before], [step])
        before = scored.id
    return found


def _before(chain: Chain) -> str:
    """The prefix before the last step."""
    return chain.steps[-2].id if len(chain.steps) > 1 else chain.problem.root_id
