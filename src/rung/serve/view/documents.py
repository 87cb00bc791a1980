"""The documents that the pages read: the same from a server and in a bundle.

FastAPI's response models: the pages' TypeScript types are made from them. A missing value is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rung.core.types import Problem, Provenance, RolloutCount, Step, Verdict
from rung.eval import FirstErrors

FileKind = Literal["chains", "search", "curves", "steps", "first-errors", "training", "rl"]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a run that can be shown."""

    id: str
    """In addresses."""
    name: str
    """Its path below the run's folder."""
    kind: FileKind
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A folder with files that can be shown."""

    id: str
    name: str
    modified_s: float  # since 1970
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, slots=True)
class RunList:
    """All runs that were found."""

    root: str
    """The name of what was given to `rung view`."""
    runs: tuple[RunEntry, ...]


@dataclass(frozen=True, slots=True)
class ScorerEntry:
    """A scorer of a file's chains."""

    name: str
    reads_every_step: bool
    """A PRM does, an ORM scores the last step alone."""


@dataclass(frozen=True, slots=True)
class ProblemEntry:
    """A problem in a list."""

    id: str
    question: str
    """Its beginning."""
    answer: str | None


@dataclass(frozen=True, slots=True)
class ChainRow:
    """A chain in a list: all but its text."""

    problem: int
    """Index in the list of problems."""
    id: str | None
    answer: str | None
    outcome: Verdict | None
    num_steps: int
    scores: tuple[tuple[float | None, ...] | None, ...]
    """By scorer, step by step, rounded."""
    values: tuple[float | None, ...]
    """By scorer: the scores under the index's rule."""
    labels: tuple[tuple[float | None, ...] | None, ...]
    """By source, step by step."""
    spread: float | None
    """The largest distance between any two opinions of one step: labels, and scorers that read
    every step. None where no step has two."""


@dataclass(frozen=True, slots=True)
class ChainIndex:
    """All chains of a file, without their texts."""

    file: str
    scorers: tuple[ScorerEntry, ...]
    sources: tuple[str, ...]
    """Of labels."""
    rule: str
    """The aggregation behind `ChainRow.values`."""
    chains_a_page: int
    problems: tuple[ProblemEntry, ...]
    rows: tuple[ChainRow, ...]
    skipped: int
    """Rows of the file that can't be read."""
    reasons: tuple[str, ...]
    """Why, for the first few."""


@dataclass(frozen=True, slots=True)
class ChainScores:
    """One scorer's reading of a chain."""

    scorer: str
    scores: tuple[float | None, ...]
    values: Mapping[str, float]
    """By aggregation; empty where there is no score."""


@dataclass(frozen=True, slots=True)
class ChainLabels:
    """One source's labels of a chain."""

    source: str
    labels: tuple[float | None, ...]
    ratings: tuple[int | None, ...] | None = None
    counts: tuple[RolloutCount | None, ...] | None = None
    notes: tuple[str | None, ...] | None = None
    """What the source said of each step."""


@dataclass(frozen=True, slots=True)
class ChainView:
    """A chain with all that is known of it."""

    id: str | None
    problem: Problem
    steps: tuple[Step, ...]
    answer: str | None
    outcome: Verdict | None
    source: Provenance | None
    scores: tuple[ChainScores, ...]
    labels: tuple[ChainLabels, ...]
    meta: str | None
    """What else stands in the file, as JSON."""


@dataclass(frozen=True, slots=True)
class ChainPage:
    """Some chains in the file's order."""

    chains: tuple[ChainView, ...]


@dataclass(frozen=True, slots=True)
class SearchEntry:
    """A search in a log."""

    problem: str
    """The id of the problem's empty prefix: the same in every log."""
    name: str
    """The problem's id, where it is known."""
    question: str | None
    """Its beginning."""
    num_nodes: int
    num_events: int
    tokens_sampled: int
    reason: str | None
    """Why it ended; None: it has not."""
    outcome: Verdict | None
    """Of the chosen chain."""


@dataclass(frozen=True, slots=True)
class SearchList:
    """The searches of one log."""

    file: str
    algorithm: str | None
    searches: tuple[SearchEntry, ...]


@dataclass(slots=True)
class TreeNode:
    """A step that a search wrote; its prefix is the path from the root."""

    parent: int | None
    """Index of the node before it; None behind the problem."""
    text: str
    born: int
    """Index of the event that wrote it."""
    num_tokens: int
    """Sampled for the piece that first brought it."""
    is_part: bool = False
    """The search looked at it while it was written."""
    scored: int | None = None
    """Index of the event that scored it."""
    score: float | None = None
    value: float | None = None
    """The lowest score on the path to it."""
    finished: int | None = None
    """Index of the event with which a chain ended here."""
    grows_until: int | None = None
    """Index of the last event that wrote something behind it; None: nothing ever did."""
    answer: str | None = None
    outcome: Verdict | None = None


@dataclass(frozen=True, slots=True)
class TreeEvent:
    """What happened, and what had been spent by then."""

    kind: Literal["sampled", "scored", "ended"]
    origin: int | None
    """The node that was continued or scored, or the chosen one; None: the problem."""
    ends: tuple[int, ...]
    """The last nodes of what was written, one a continuation."""
    tokens_sampled: int
    tokens_scored: int
    calls: int


@dataclass(frozen=True, slots=True)
class SearchTree:
    """One search: a tree and its history."""

    file: str
    problem: Problem
    algorithm: str | None
    reason: str | None
    chosen: int | None
    nodes: tuple[TreeNode, ...]
    events: tuple[TreeEvent, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """A value with its interval, over x."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    """How many it is a mean of, where that differs from point to point."""


@dataclass(frozen=True, slots=True)
class Series:
    """A named curve."""

    name: str
    points: tuple[Point, ...]
    axis: Literal["left", "right"] = "left"
    """The axis of its y: what has another unit stands on the right one."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves that share their axes."""

    id: str
    kind: Literal["best-of-n", "reliability", "rl", "losses"]
    title: str
    file: str
    series: tuple[Series, ...]
    note: str
    """What the intervals are."""
    tokens_a_chain: float | None = None
    """For best-of-n: turns numbers of chains into tokens."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """How often each score occurs at each place of the chains."""

    id: str
    title: str
    file: str
    counts: tuple[tuple[int, ...], ...]
    """By position (the last: that and all later ones), then by score, in ten equal bins."""
    means: tuple[float | None, ...]
    """By position."""
    note: str


@dataclass(frozen=True, slots=True)
class FirstErrorTable:
    """How well scorers find first errors, subset by subset (ProcessBench's rule)."""

    id: str
    title: str
    file: str
    rows: tuple[FirstErrors, ...]


@dataclass(frozen=True, slots=True)
class Charts:
    """All that can be drawn of a run."""

    charts: tuple[Chart, ...] = ()
    heat_maps: tuple[HeatMap, ...] = ()
    first_errors: tuple[FirstErrorTable, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be drawn, and why."""
