"""All documents of a folder by their names; what was read is kept until its file changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

from rung.core.errors import RungError
from rung.serve.view import chains, charts, first_errors, tree
from rung.serve.view.documents import (
    ChainIndex,
    ChainPage,
    Chart,
    Charts,
    FileEntry,
    FileKind,
    FirstErrorTable,
    HeatMap,
    RunEntry,
    RunList,
    SearchList,
    SearchTree,
)
from rung.serve.view.finding import Found, find_runs

T = TypeVar("T")
MAX_KEPT = 32
"""What is held in memory: a file's chains, their index, its charts, its trees."""


class NotHereError(RungError):
    """There is no such document."""


class Library:
    """The documents of what was given to `rung view`."""

    def __init__(self, root: Path) -> None:
        """Look the folder through.

        Raises:
            InputError: There is nothing to show.
        """
        self._root = root
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._lock = Lock()
        self._runs = {run.entry.id: run for run in find_runs(root)}

    def runs(self) -> RunList:
        """All runs, looked for anew: more may have come."""
        found = find_runs(self._root)
        self._runs = {run.entry.id: run for run in found}
        return RunList(self._root.resolve().name, tuple(run.entry for run in found))

    def run(self, run: str) -> RunEntry:
        """One run.

        Raises:
            NotHereError: There is none of that name; as for all that follow.
        """
        return self._run(run).entry

    def index(self, run: str, file: str) -> ChainIndex:
        """The chains of a file, without texts."""
        entry, path = self._file(run, file, "chains")
        return self._keep("index", path, lambda: chains.index_of(self._chains(entry, path)))

    def num_pages(self, run: str, file: str) -> int:
        """How many pages of chains a file has."""
        return chains.num_pages(self._chains(*self._file(run, file, "chains")))

    def page(self, run: str, file: str, page: int) -> ChainPage:
        """Chains with their texts; pages count from 0."""
        found = self._chains(*self._file(run, file, "chains"))
        if not 0 <= page < chains.num_pages(found):
            raise NotHereError(f"{file} has no page {page}")
        return chains.page_of(found, page)

    def searches(self, run: str, file: str) -> SearchList:
        """The searches of a log."""
        entry, trees, known = self._trees(run, file)
        return tree.list_of(entry.name, trees, known)

    def search(self, run: str, file: str, problem: str) -> SearchTree:
        """One search, by its problem's empty prefix."""
        entry, trees, known = self._trees(run, file)
        if problem not in trees:
            raise NotHereError(f"{file} has no search of problem {problem}")
        return tree.tree_of(entry.name, trees[problem], known)

    def charts(self, run: str) -> Charts:
        """All that can be drawn; what can't is told."""
        found = self._run(run)
        drawn: list[Any] = []
        problems: list[str] = []
        for entry in found.entry.files:
            path = found.paths[entry.id]
            try:
                drawn += self._keep("charts", path, lambda e=entry, p=path: self._drawn(e, p))
            except RungError as error:
                problems.append(str(error))

        def of(kind: type[T]) -> tuple[T, ...]:
            return tuple(one for one in drawn if isinstance(one, kind))

        return Charts(of(Chart), of(HeatMap), of(FirstErrorTable), tuple(problems))

    def _drawn(self, entry: FileEntry, path: Path) -> list[Any]:
        if entry.kind == "curves":
            return [charts.curves_in(path, entry.name)]
        if entry.kind == "steps":
            return list(charts.steps_in(path, entry.name))
        if entry.kind == "first-errors":
            return list(first_errors.tables_in(path, entry.name))
        if entry.kind in ("training", "rl"):
            return list(charts.training_charts(path, entry.name))
        if entry.kind == "chains":
            records = self._chains(entry, path).records
            return [
                *charts.measured_curves(records, entry.name),
                *charts.measured_reliability(records, entry.name),
                *charts.heat_maps(records, entry.name),
                *first_errors.measured_tables(records, entry.name),
            ]
        return []

    def _run(self, run: str) -> Found:
        if run not in self._runs:
            raise NotHereError(f"there is no run {run!r}")
        return self._runs[run]

    def _file(self, run: str, file: str, kind: FileKind) -> tuple[FileEntry, Path]:
        found = self._run(run)
        entry = next((e for e in found.entry.files if e.id == file and e.kind == kind), None)
        if entry is None:
            raise NotHereError(f"run {run!r} has no {kind} in {file!r}")
        return entry, found.paths[entry.id]

    def _chains(self, entry: FileEntry, path: Path) -> chains.ChainFile:
        return self._keep("chains", path, lambda: chains.read_chains(path, entry.name))

    def _trees(self, run: str, file: str) -> tuple[FileEntry, dict[str, tree.Growing], tree.Known]:
        entry, path = self._file(run, file, "search")
        known = self._known(run)
        trees = self._keep("trees", path, lambda: tree.read_log(path, entry.name, known))
        return entry, trees, known

    def _known(self, run: str) -> tree.Known:
        """What the run's chains tell of its searches."""
        found, known = self._run(run), tree.Known()
        for entry in found.entry.files:
            if entry.kind == "chains":
                known.add(entry.name, self._chains(entry, found.paths[entry.id]).records)
        return known

    def _keep(self, what: str, path: Path, make: Callable[[], T]) -> T:
        """What was made of a file in the state in which it is now."""
        try:
            state = path.stat()
        except OSError as error:
            raise NotHereError(f"{path.name} is gone") from error
        key = (what, path, state.st_mtime_ns, state.st_size)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return cast("T", self._kept[key])
        made = make()
        with self._lock:
            for old in [old for old in self._kept if old[:2] == key[:2]]:
                del self._kept[old]
            self._kept[key] = made
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return made


def documents(library: Library) -> Iterator[tuple[str, Any]]:
    """Every document with its name, as addresses and bundles have it."""
    found = library.runs()
    yield "runs", found
    for run in found.runs:
        yield from _of_run(library, run)


def _of_run(library: Library, run: RunEntry) -> Iterator[tuple[str, Any]]:
    at = f"runs/{run.id}"
    yield at, run
    yield f"{at}/charts", library.charts(run.id)
    for file in run.files:
        if file.kind == "chains":
            yield f"{at}/chains/{file.id}", library.index(run.id, file.id)
            for page in range(library.num_pages(run.id, file.id)):
                yield f"{at}/chains/{file.id}/pages/{page}", library.page(run.id, file.id, page)
        elif file.kind == "search":
            listed = library.searches(run.id, file.id)
            yield f"{at}/searches/{file.id}", listed
            for entry in listed.searches:
                name = f"{at}/searches/{file.id}/{entry.problem}"
                yield name, library.search(run.id, file.id, entry.problem)
