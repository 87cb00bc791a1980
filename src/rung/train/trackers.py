"""Experiment trackers: wandb and trackio, which share three calls. Neither is a dependency.

``metrics.jsonl`` is written whatever happens here; a tracker is a second place for the same rows.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rung.core.errors import RungError

TrackerName = Literal["none", "wandb", "trackio"]
PROJECT = "rung"


class Tracker(Protocol):
    """Where the numbers of a run go, besides ``metrics.jsonl``."""

    def init(self, run: str, run_id: str, settings: Mapping[str, Any]) -> None:
        """A run begins, or goes on if one of this id has begun before."""
        ...

    def log(self, row: Mapping[str, Any], step: int) -> None:
        """The numbers of a step; rows of one step may come one after the other."""
        ...

    def finish(self) -> None:
        """The run has ended or was stopped."""
        ...


class NoTracker:
    """The tracker of a run that has none."""

    def init(self, run: str, run_id: str, settings: Mapping[str, Any]) -> None:
        """Do nothing."""

    def log(self, row: Mapping[str, Any], step: int) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class PackageTracker:
    """wandb or trackio, in project "rung"."""

    name: TrackerName
    package: Any

    def init(self, run: str, run_id: str, settings: Mapping[str, Any]) -> None:
        """Begin or go on: wandb knows the run by its id, trackio by its name."""
        known_by = {"name": run, "id": run_id} if self.name == "wandb" else {"name": run}
        self.package.init(project=PROJECT, config=dict(settings), resume="allow", **known_by)

    def log(self, row: Mapping[str, Any], step: int) -> None:
        """Log the row's other numbers under its step."""
        numbers = {key: value for key, value in row.items() if key != "step"}
        self.package.log(numbers, step=step)

    def finish(self) -> None:
        """Send what is left."""
        self.package.finish()


def load_tracker(name: TrackerName) -> Tracker:
    """The tracker of that name; "none" is one that does nothing.

    Raises:
        RungError: Its package is not installed.
    """
    if name == "none":
        return NoTracker()
    try:
        return PackageTracker(name, importlib.import_module(name))
    except ModuleNotFoundError as error:
        raise RungError(f"--tracker {name} needs the package {name}: pip install {name}") from error


@contextlib.contextmanager
def tracked(
    tracker: Tracker, run: str, run_id: str, settings: Mapping[str, Any]
) -> Generator[None]:
    """A run of `tracker`, finished whatever happens in it."""
    tracker.init(run, run_id, settings)
    try:
        yield
    finally:
        tracker.finish()
