"""What a person sees: results on stdout, progress and logs on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import tyro

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

JsonFlag = Annotated[bool, tyro.conf.arg(help="Print the result as JSON on stdout.")]
"""The type of every verb's ``--json``."""

PLAIN_LINE_EVERY_S = 10.0


class Output:
    """The result's way to stdout, and a `Progress` whose bars or plain lines go to stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.progress = _RichBars() if sys.stderr.isatty() else _PlainLines()

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.close(finished=error is None)

    def result(self, value: Any, show: Callable[[Console], None]) -> None:
        """Print `value` as one line of JSON, or call `show` with a console on stdout."""
        self.progress.close()
        if self.as_json:
            print(msgspec.json.encode(value).decode(), flush=True)
            return
        from rich.console import Console

        show(Console(highlight=False, emoji=False))


class _PlainLines:
    """Progress for logs and pipes: a line when a stage starts, every ten seconds, at its end."""

    def __init__(self) -> None:
        self._what, self._total, self._done = "", None, 0
        self._started_s = self._said_s = time.monotonic()

    def start(self, what: str, total: int | None = None) -> None:
        self.close()
        self._what, self._total, self._done = what, total, 0
        self._started_s = self._said_s = time.monotonic()
        self.log(what if total is None else f"{what}: {total} to do")

    def advance(self, units: int = 1, note: str = "") -> None:
        self._done += units
        now_s = time.monotonic()
        if now_s - self._said_s >= PLAIN_LINE_EVERY_S:
            self._said_s = now_s
            self.log(f"{self._what}: {self._state(now_s)} {note}".rstrip())

    def log(self, message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    def close(self, *, finished: bool = True) -> None:
        if self._what:
            how = "done in" if finished else f"stopped at {self._done} after"
            self.log(f"{self._what}: {how} {time.monotonic() - self._started_s:.1f} s")
        self._what = ""

    def _state(self, now_s: float) -> str:
        if not self._total or not self._done:
            return str(self._done)
        left_s = (now_s - self._started_s) / self._done * (self._total - self._done)
        return f"{self._done}/{self._total}, about {left_s:.0f} s left"


class _RichBars:
    """Progress for a terminal."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None
        self._task: TaskID | None = None

    def start(self, what: str, total: int | None = None) -> None:
        bars = self._open()
        self._finish_stage()
        self._task = bars.add_task(what, total=total, note="")

    def advance(self, units: int = 1, note: str = "") -> None:
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, advance=units, note=note)

    def log(self, message: str) -> None:
        self._open().console.print(message, highlight=False, markup=False)

    def close(self, *, finished: bool = True) -> None:
        if self._bars is not None:
            if finished:
                self._finish_stage()
            self._bars.stop()
        self._bars = self._task = None

    def _finish_stage(self) -> None:
        if self._bars is not None and self._task is not None:
            task = self._bars.tasks[self._task]
            self._bars.update(self._task, total=task.completed or 1, completed=task.completed or 1)
        self._task = None

    def _open(self) -> RichProgress:
        if self._bars is None:
            self._bars = _make_bars()
            self._bars.start()
        return self._bars


def _make_bars() -> RichProgress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True, emoji=False),
    )
