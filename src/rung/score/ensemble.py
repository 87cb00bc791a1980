"""Several scorers as one: a step is worth what the strictest of them says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from rung.core.protocols import Labeler, Scorer
from rung.core.types import Chain, StepScores


@dataclass(frozen=True, slots=True)
class StrictestScorer:
    """The least score that any of the scorers gives a step; None where none gives one.

    What one PRM overrates, another one may not (Coste et al., arXiv 2310.02743, worst-case
    optimization), so there is less to exploit. An ORM has a say at the last step alone, and behind
    the context of one scorer the others decide. Behind a step that a scorer called wrong for
    certain (0) its silence stays 0: labelers judge no step behind the first error, and there the
    others would pay again.
    """

    scorers: tuple[Scorer, ...]

    @property
    def name(self) -> str:
        """All names."""
        return "least of " + ", ".join(scorer.name for scorer in self.scorers)

    @property
    def fingerprint(self) -> Any:
        """Of all, as JSON."""
        return [getattr(scorer, "fingerprint", scorer.name) for scorer in self.scorers]

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score with all of them."""
        found = [scorer.score(chains) for scorer in self.scorers]
        return [self.least(of_chain) for of_chain in zip(*found, strict=True)]

    def least(self, scores: Sequence[StepScores]) -> StepScores:
        """Of one chain, what each of them says."""
        return StepScores(tuple(map(_least, *(_said(one.scores) for one in scores))), self.name)


@dataclass(frozen=True, slots=True)
class LabelingScorer:
    """A labeler's labels as scores: the true verifier's word on every step, as far as it goes."""

    labeler: Labeler

    @property
    def name(self) -> str:
        """The labels' source."""
        return self.labeler.source

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Label; a step that was not judged has score None."""
        return [StepScores(y.labels, self.name) for y in self.labeler.label(chains)]


def _said(scores: Sequence[float | None]) -> list[float | None]:
    """What a scorer says of each step, with its 0 kept up until it says something else."""
    kept = accumulate(scores, lambda before, now: 0.0 if now is None and before == 0 else now)
    return list(kept)


def _least(*scores: float | None) -> float | None:
    return min((score for score in scores if score is not None), default=None)
