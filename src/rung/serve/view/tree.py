"""A search's log as trees that can be replayed, one a problem.

The log names what was written by its prefix. Questions, verdicts and the algorithm's name stand in
the chains that `rung search` wrote beside it (`--out`, `--chains`), so these are looked up there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from rung.core import AGGREGATIONS, ChainRecord, Verdict
from rung.core.errors import InputError
from rung.core.types import Problem
from rung.search.growth import PART, STOP
from rung.search.log import Ended, Event, Piece, Sampled, Scored
from rung.serve.view.chains import RULE, excerpt
from rung.serve.view.documents import SearchEntry, SearchList, SearchTree, TreeEvent, TreeNode

EVENTS = ".events"
"""What `rung search` puts behind the name of its chosen chains, for the log."""
INSIDE = "inside"
"""In an order's key: the prefix's last step is written on."""


@dataclass(slots=True)
class Known:
    """What chains beside a log tell."""

    problems: dict[str, Problem] = field(default_factory=dict[str, Problem])
    """By the id of the empty prefix."""
    outcomes: dict[tuple[str, str], Verdict] = field(default_factory=dict[tuple[str, str], Verdict])
    """By the problem and the answer's text: equal answers have equal verdicts."""
    algorithms: dict[str, str] = field(default_factory=dict[str, str])
    """By the file of chosen chains."""

    def add(self, file: str, records: Iterable[ChainRecord]) -> None:
        """Take in a file's chains."""
        for record in records:
            chain = record.chain
            root = chain.problem.root_id
            self.problems.setdefault(root, chain.problem)
            if record.outcome is not None and chain.answer is not None:
                self.outcomes.setdefault((root, chain.answer), record.outcome)
            note: Any = record.meta.get("search")
            if isinstance(note, dict) and isinstance(note.get("algorithm"), str):
                self.algorithms.setdefault(file, note["algorithm"])

    def algorithm_of(self, log: str) -> str | None:
        """The algorithm that wrote a log beside its chosen chains."""
        return self.algorithms.get(log.removesuffix(EVENTS))


@dataclass(slots=True)
class Growing:
    """A tree while its log is read."""

    root: str
    nodes: list[TreeNode] = field(default_factory=list[TreeNode])
    events: list[TreeEvent] = field(default_factory=list[TreeEvent])
    ids: list[str] = field(default_factory=list[str])
    """Of the nodes' steps."""
    places: dict[str, int | None] = field(default_factory=dict[str, "int | None"])
    """A prefix's node; the root's is None."""
    name: str | None = None
    """The problem's id."""
    reason: str | None = None
    chosen: int | None = None
    spent: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Tokens sampled, tokens scored, continuations."""
    counted: set[str] = field(default_factory=set[str])
    """Chains whose tokens were counted as scored."""

    def __post_init__(self) -> None:
        self.places[self.root] = None

    def sampled(self, key: str, pieces: Sequence[Piece]) -> None:
        """The policy has continued a prefix."""
        prefix, _, how = key.partition(" ")
        at = len(self.events)
        origin = self.places[prefix]
        place = (
            self.nodes[origin].parent if INSIDE in how.split() and origin is not None else origin
        )
        ends = [self._write(place, piece, at) for piece in pieces]
        self._grew(place, at)
        self.spent[0] += sum(piece.num_tokens for piece in pieces)
        self.spent[2] += len(pieces)
        self._add("sampled", origin, [end for end in ends if end is not None])

    def scored(self, chain: str, scores: Sequence[float | None]) -> None:
        """A chain has its scores."""
        end = self.places[chain.partition(" ")[0]]
        if end is None:
            return
        path = self.path(end)
        for node, score in zip(path, scores, strict=False):
            if score is not None and node.scored is None:
                node.scored, node.score = len(self.events), score
        if self.ids[end] not in self.counted:
            self.counted.add(self.ids[end])
            self.spent[1] += self.nodes[end].num_tokens
        known: list[float] = []
        for node in path:
            known += [] if node.score is None else [node.score]
            node.value = AGGREGATIONS[RULE](known) if known else None
        self._add("scored", end, [])

    def ended(self, event: Ended) -> None:
        """The search is over."""
        self.name, self.reason = event.problem, event.reason
        self.chosen = self.places.get(event.chosen) if event.chosen else None
        self._add("ended", self.chosen, [])

    def path(self, end: int) -> list[TreeNode]:
        """The nodes from the first step to this one."""
        path: list[TreeNode] = []
        place: int | None = end
        while place is not None:
            path.append(self.nodes[place])
            place = self.nodes[place].parent
        return path[::-1]

    def _write(self, place: int | None, piece: Piece, at: int) -> int | None:
        for number, step in enumerate(piece.steps):
            is_part = number == len(piece.steps) - 1 and piece.finish_reason == PART
            if (known := self.places.get(step.id)) is not None:
                self.nodes[known].is_part &= is_part  # its text may have been whole when it paused
            else:
                self.places[step.id] = len(self.nodes)
                self.ids.append(step.id)
                self.nodes.append(TreeNode(place, step.text, at, piece.num_tokens, is_part))
            place = self.places[step.id]
        if place is not None and piece.finish_reason == STOP:
            node = self.nodes[place]
            node.finished = at if node.finished is None else node.finished
            node.answer = piece.answer
        return place

    def _grew(self, place: int | None, at: int) -> None:
        while place is not None:
            self.nodes[place].grows_until = at
            place = self.nodes[place].parent

    def _add(self, kind: Any, origin: int | None, ends: Sequence[int]) -> None:
        self.events.append(TreeEvent(kind, origin, tuple(ends), *self.spent))


def read_log(path: Path, name: str, known: Known) -> dict[str, Growing]:
    """The searches of a log by their problems' empty prefixes, with verdicts where they are known.

    A torn last row is passed over: the run may be writing it.

    Raises:
        InputError: A row is none of a search's log.
    """
    roots: dict[str, Growing] = {}
    by_step: dict[str, Growing] = {}
    by_name = {problem.id: root for root, problem in known.problems.items()}
    for event in _events(path, name):
        if isinstance(event, Sampled):
            prefix = _prefix_of(event.key, name)
            tree = by_step.get(prefix) or roots.setdefault(prefix, Growing(prefix))
            tree.sampled(event.key, event.pieces)
            by_step.update((step.id, tree) for piece in event.pieces for step in piece.steps)
        elif isinstance(event, Scored):
            if (tree := by_step.get(event.chain.partition(" ")[0])) is not None:
                tree.scored(event.chain, event.scores)
        elif isinstance(event, Ended):
            root = by_name.get(event.problem, "")
            tree = roots.get(root) or (by_step.get(event.chosen) if event.chosen else None)
            if tree is not None:
                tree.ended(event)
    for tree in roots.values():
        for node in tree.nodes:
            if node.finished is not None and node.answer is not None:
                node.outcome = known.outcomes.get((tree.root, node.answer))
    return roots


def list_of(file: str, trees: dict[str, Growing], known: Known) -> SearchList:
    """The searches of one log."""
    entries = tuple(_entry(tree, known) for tree in trees.values())
    return SearchList(file, known.algorithm_of(file), entries)


def tree_of(file: str, tree: Growing, known: Known) -> SearchTree:
    """One search."""
    problem = known.problems.get(tree.root)
    unknown = Problem(tree.name or tree.root, "(The question stands in no file beside this log.)")
    return SearchTree(
        file=file,
        problem=problem or unknown,
        algorithm=known.algorithm_of(file),
        reason=tree.reason,
        chosen=tree.chosen,
        nodes=tuple(tree.nodes),
        events=tuple(tree.events),
    )


def _prefix_of(key: str, name: str) -> str:
    """A prefix's id: it becomes part of addresses and of a bundle's file names."""
    prefix = key.partition(" ")[0]
    if not re.fullmatch("[0-9a-f]{1,64}", prefix):
        raise InputError(f"{key[:80]!r} names no prefix", file=name)
    return prefix


def _entry(tree: Growing, known: Known) -> SearchEntry:
    problem = known.problems.get(tree.root)
    return SearchEntry(
        problem=tree.root,
        name=problem.id if problem else tree.name or tree.root,
        question=excerpt(problem.question) if problem else None,
        num_nodes=len(tree.nodes),
        num_events=len(tree.events),
        tokens_sampled=tree.spent[0],
        reason=tree.reason,
        outcome=None if tree.chosen is None else tree.nodes[tree.chosen].outcome,
    )


def _events(path: Path, name: str) -> Iterable[Event]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield msgspec.json.decode(line, type=Event)
            except msgspec.DecodeError as error:
                reason = f"this is no row of a search's log ({error})"
                raise InputError(reason, file=name, line=number) from error
