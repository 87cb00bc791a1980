"""Finds what can be shown in a folder. Nothing outside it is ever opened."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from rung.core.errors import InputError, RungError
from rung.data.formats import detect
from rung.data.sources import decode, read_items
from rung.serve.view.documents import FileEntry, FileKind, RunEntry

METRICS = "metrics.jsonl"
MODEL_CONFIG = "config.json"
"""A folder with it holds a model: its .json files are the tokenizer's and the weights'."""
ENDINGS = (".events", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", ".json")
MAX_JSON_BYTES = 64 * 2**20
"""A larger .json is no result of rung's."""
MAX_DEPTH = 4
PASSED_OVER = re.compile(r"\..*|__pycache__|node_modules")


@dataclass(frozen=True, slots=True)
class Found:
    """A run with the paths of its files."""

    entry: RunEntry
    paths: dict[str, Path]
    """By the file's id."""


def find_runs(root: Path) -> list[Found]:
    """The runs in a folder, or the one that a file is; the latest first.

    A folder that holds files to show is a run. One that holds nothing but a training's metrics
    belongs to the run in the folder above, if there is one.

    Raises:
        InputError: There is no such file, or nothing to show.
    """
    if root.is_file():
        kind = kind_of(root)
        if kind is None:
            reason = "this is no file of chains, of a search, of measures or of a training"
            raise InputError(reason, file=str(root))
        return _runs(root.parent, {root.parent: {root: kind}})
    if not root.is_dir():
        raise InputError("there is no such file or folder", file=str(root))
    folders = dict(_folders(root.resolve()))
    if not folders:
        reason = "nothing here can be shown: no chains, searches, measures or trainings"
        raise InputError(reason, file=str(root))
    return _runs(root.resolve(), folders)


def kind_of(path: Path) -> FileKind | None:
    """What a file holds, by its name and its first row; None for something else."""
    if not path.name.endswith(ENDINGS):
        return None
    if path.name.endswith(".json") and path.stat().st_size > MAX_JSON_BYTES:
        return None
    row = _first_row(path)
    if not isinstance(row, dict):
        return None
    if path.name == METRICS:
        return _training_kind(path)
    if row.get("event") == "begun":
        return "search"
    if isinstance(row.get("curves"), dict):
        return "curves"
    if (measures := _measures(row)) is not None:
        return measures
    known = detect(row)
    return "chains" if known is not None and known.read is not None else None


def _measures(row: dict[str, Any]) -> FileKind | None:
    """Which of `rung eval`'s measures a result holds, of those that can be drawn."""
    match row:
        case {"metrics": [{"calibration": _}, *_]}:
            return "steps"
        case {"metrics": [{"erroneous": _}, *_]}:
            return "first-errors"
        case _:
            return None


def _folders(root: Path) -> Iterator[tuple[Path, dict[Path, FileKind]]]:
    for folder, below, names in os.walk(root):
        here = Path(folder)
        depth = len(here.relative_to(root).parts)
        below[:] = [n for n in sorted(below) if not PASSED_OVER.fullmatch(n) and depth < MAX_DEPTH]
        is_model = MODEL_CONFIG in names
        paths = (here / n for n in sorted(names) if not (is_model and n.endswith(".json")))
        shown: dict[Path, FileKind] = {}
        for path in paths:
            if (kind := _kind_inside(path, root)) is not None:
                shown[path] = kind
        if shown:
            yield here, shown


def _kind_inside(path: Path, root: Path) -> FileKind | None:
    """As `kind_of`; None for a link that leads out of the folder."""
    if not path.is_file() or not path.resolve().is_relative_to(root):
        return None
    return kind_of(path)


def _first_row(path: Path) -> Any:
    try:
        items = read_items(path)
        first = next(items, None)
        return None if first is None else decode(first.content)
    except (RungError, OSError, ValueError, msgspec.DecodeError, RecursionError):
        return None


def _training_kind(path: Path) -> FileKind:
    with path.open("rb") as stream:
        head = stream.read(2**16)
    return "rl" if b'"held_out_accuracy"' in head or b'"outcome"' in head else "training"


def _runs(root: Path, folders: dict[Path, dict[Path, FileKind]]) -> list[Found]:
    gathered: dict[Path, dict[Path, FileKind]] = {}
    for folder, kinds in folders.items():  # parents come before what is in them
        above = folder.parent
        is_part = above in gathered and all(path.name == METRICS for path in kinds)
        gathered.setdefault(above if is_part else folder, {}).update(kinds)
    ids = _Ids()
    runs = [_run(root, folder, kinds, ids) for folder, kinds in gathered.items()]
    return sorted(runs, key=lambda run: -run.entry.modified_s)


def _run(root: Path, folder: Path, kinds: dict[Path, FileKind], ids: _Ids) -> Found:
    inside = folder.relative_to(root)
    name = str(inside) if inside.parts else root.resolve().name
    file_ids = _Ids()
    paths: dict[str, Path] = {}
    files: list[FileEntry] = []
    for path, kind in kinds.items():
        shown = str(path.relative_to(folder))
        id = file_ids.new(shown)
        paths[id] = path
        files.append(FileEntry(id, shown, kind, path.stat().st_size))
    modified_s = max(path.stat().st_mtime for path in kinds)
    return Found(RunEntry(ids.new(name), name, modified_s, tuple(files)), paths)


class _Ids:
    """Short names that stand in any address and any file system, each once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def new(self, name: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "run"
        id, number = plain, 1
        while id.lower() in self._given:
            number += 1
            id = f"{plain}-{number}"
        self._given.add(id.lower())
        return id
