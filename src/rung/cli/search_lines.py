"""Where `rung search` draws its lines for stopping and giving up: from a file of scored chains."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rung.cli.inputs import records_of
from rung.core.aggregate import AGGREGATIONS
from rung.core.errors import RungError
from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.search import abort_below, abort_inside_below, stop_above
from rung.search.scoring import looks_inside
from rung.search.thresholds import NEVER

if TYPE_CHECKING:
    from rung.score import ModelScorer


class Lines(NamedTuple):
    """Values that a search compares with; these change nothing."""

    enough: float = NEVER
    below: float = -math.inf
    below_inside: float = -math.inf


def draw_lines(
    path: Path,
    scorer: ModelScorer,
    progress: Progress,
    *,
    by: str,
    error: float,
    batch: int,
    looks: bool,
) -> Lines:
    """The lines that keep the error, by the chains of a file.

    With `looks` inside steps, giving up at their ends and inside them may each err half as often,
    and chains don't end together, `batch` at a time: each is taken or left alone.

    Raises:
        RungError: A problem has no scored chain, or the scorer can't look inside steps.
    """
    if looks and not getattr(scorer, "reads_unfinished_steps", False):
        raise RungError(f"{scorer.name} can't score a step before it ends; leave out --look-every")
    pools, aggregation = _pools(path), AGGREGATIONS[by]
    share = error / 2 if looks else error
    enough = stop_above(pools, aggregation, scorer.name, error, 1 if looks else batch)
    below = abort_below(pools, aggregation, scorer.name, share)
    told, inside = f"stop at {enough:.4f}, give up under {below:.4f}", -math.inf
    if looks:
        look = partial(looks_inside, scorer)
        inside = abort_inside_below(pools, aggregation, scorer.name, share, look)
        told += f" (inside a step under {inside:.4f})"
    progress.log(f"by {len(pools)} problems of {path}: {told}")
    return Lines(enough, below, inside)


def _pools(path: Path) -> list[list[ChainRecord]]:
    """The chains of a file, by problem."""
    pools: dict[str, list[ChainRecord]] = {}
    for record in records_of([str(path)], "rung", "good", None):
        pools.setdefault(record.chain.problem.root_id, []).append(record)
    return list(pools.values())
