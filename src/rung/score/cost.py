"""What scores took, kept beside the file that holds them: OUT.cost.json."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from rung.core.errors import InputError
from rung.core.files import replacing
from rung.core.protocols import Scorer
from rung.core.types import Chain, StepScores
from rung.core.urls import url_of

SUFFIX = ".cost.json"


@dataclass(frozen=True, slots=True)
class Cost:
    """What scoring chains took, in the run that ended the file."""

    chains: int
    tokens: int | None
    """That went through the model; None where that isn't known, as behind a server."""
    seconds: float


@dataclass(slots=True)
class Metered:
    """A scorer whose work is measured. It scores as the one inside."""

    scorer: Scorer
    chains: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The scorer's name."""
        return self.scorer.name

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score, and count the time."""
        started_s = time.perf_counter()
        scores = self.scorer.score(chains)
        self.seconds += time.perf_counter() - started_s
        self.chains += len(chains)
        return scores

    @property
    def cost(self) -> Cost:
        """What it has taken so far."""
        return Cost(self.chains, tokens_of(self.scorer), self.seconds)


def tokens_of(scorer: Any) -> int | None:
    """Tokens that went through the scorer's own model, of which it may know nothing."""
    if (several := getattr(scorer, "scorers", None)) is not None:
        each = [tokens_of(one) for one in several]
        return None if None in each else sum(count for count in each if count is not None)
    inner = getattr(scorer, "scorer", scorer)  # a calibrated one wraps another
    usage = getattr(inner, "usage", None)
    return None if usage is None else int(usage.computed)


def cost_path(out: Path) -> Path:
    """Where the cost of a file's scores stands."""
    return out.with_name(out.name + SUFFIX)


def write_costs(out: Path, costs: Mapping[str, Cost]) -> None:
    """Keep the costs beside `out`; files at a URL keep none."""
    if url_of(out) is None:
        with replacing(cost_path(out)) as aside:
            aside.write_bytes(msgspec.json.encode(costs) + b"\n")


def read_costs(sources: Iterable[str]) -> dict[str, Cost]:
    """The costs of all scorers in these files, as far as they were kept.

    Raises:
        InputError: A file of costs can't be read.
    """
    found: dict[str, Cost] = {}
    for source in sources:
        path = cost_path(Path(source))
        if url_of(source) is None and path.is_file():
            try:
                found |= msgspec.json.decode(path.read_bytes(), type=dict[str, Cost])
            except msgspec.DecodeError as error:
                reason = f"this doesn't say what scores took ({error})"
                raise InputError(reason, file=str(path)) from error
    return found
