"""A scorer whose scores go through a fitted map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Never, Protocol

import msgspec

from rung.core.errors import RungError
from rung.core.protocols import Scorer
from rung.core.types import Chain, Problem, StepScores
from rung.score.calibration import Isotonic, Method, Temperature, load_maps

if TYPE_CHECKING:
    from rung.score.session import ScoringSession


class ModelScorer(Scorer, Protocol):
    """A scorer on one checkpoint: it knows its weights and all that its numbers depend on."""

    @property
    def kind(self) -> Literal["prm", "orm"]:
        """Whether every step has a score or only the last."""
        ...

    @property
    def family(self) -> str:
        """How it is read: a name in `rung.model.families.FAMILIES`."""
        ...

    @property
    def aggregation(self) -> str | None:
        """How its authors make one score of a chain's, where they say it."""
        ...

    @property
    def weights_hash(self) -> str | None:
        """Of the weights; None where they are not at hand."""
        ...

    @property
    def fingerprint(self) -> Any:
        """All that the numbers depend on, as JSON."""
        ...

    @property
    def has_sessions(self) -> bool:
        """Whether `open` gives a session, or refuses."""
        ...

    def open(self, problem: Problem, *, max_kept_mib: float | None = None) -> ScoringSession:
        """A session that scores chains while they grow.

        Raises:
            RungError: The scorer has none.
        """
        ...


@dataclass(frozen=True, slots=True)
class CalibratedScorer:
    """A `ModelScorer` whose scores are probabilities, as far as the map's labels reach.

    Its name is the scorer's with the method behind it, so raw and calibrated scores stand side by
    side in one file.
    """

    scorer: ModelScorer
    method: Method
    map: Temperature | Isotonic

    @property
    def name(self) -> str:
        """As ``prm+temperature``."""
        return f"{self.scorer.name}+{self.method}"

    @property
    def kind(self) -> Literal["prm", "orm"]:
        """The scorer's."""
        return self.scorer.kind

    @property
    def family(self) -> str:
        """The scorer's."""
        return self.scorer.family

    @property
    def aggregation(self) -> str | None:
        """The scorer's."""
        return self.scorer.aggregation

    @property
    def weights_hash(self) -> str | None:
        """The scorer's."""
        return self.scorer.weights_hash

    @property
    def fingerprint(self) -> Any:
        """The scorer's, and the map."""
        return [self.scorer.fingerprint, self.method, msgspec.to_builtins(self.map)]

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """The scorer's scores through the map; None stays None."""
        return [self._mapped(scores) for scores in self.scorer.score(chains)]

    @property
    def has_sessions(self) -> bool:
        """`open` refuses."""
        return False

    def open(self, problem: Problem, *, max_kept_mib: float | None = None) -> Never:
        """Refused.

        Raises:
            RungError: Always.
        """
        raise RungError(f"{self.name} has no sessions: open one of the scorer that it maps")

    def _mapped(self, raw: StepScores) -> StepScores:
        mapped = iter(self.map(raw.known).tolist())
        scores = (None if score is None else next(mapped) for score in raw.scores)
        return StepScores(tuple(scores), self.name, raw.weights_hash)


def calibrated(scorer: ModelScorer, folder: str | Path, method: Method) -> CalibratedScorer:
    """Let a scorer's scores go through the map that ``calibration.json`` in `folder` holds.

    Raises:
        InputError: The file is missing or damaged, or was fitted to other weights.
    """
    maps = load_maps(Path(folder), scorer.weights_hash)
    return CalibratedScorer(scorer, method, maps.by(method))
