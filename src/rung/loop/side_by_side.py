"""Jobs at the same time, each in a process of its own that computes on one thread.

The matrices of small models are too small to share: two trainings on a core each take little more
time than one of them on two cores. One thread a job also makes its numbers the same on machines
with more cores.

A job is pickled to a fresh interpreter, so that a caller's script needs no guard around its main
part, as `multiprocessing` would ask for. A job's process ends when its parent does.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, BinaryIO

from rung.core.errors import RungError
from rung.core.protocols import Progress

Job = Callable[[Progress], int]
"""Works, says how far it is, and returns its tokens. It can be pickled."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_CHILD = "from rung.loop.side_by_side import work; work()"
_ENDED, _FAILED, _DIED = "ended", "failed", "died"


def run_side_by_side(what: str, jobs: Mapping[str, Job], progress: Progress) -> int:
    """Run named jobs at the same time, under one bar, and add up what they return.

    Raises:
        RungError: A job raised one, or its process died; the other jobs are stopped.
    """
    events: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    bar = _Bar(what, progress, dict.fromkeys(jobs))
    returned: dict[str, int] = {}
    with ExitStack() as stack:
        for name, job in jobs.items():
            _start(name, job, events, stack)
        bar.open()
        while len(returned) < len(jobs):
            name, (kind, *values) = events.get()
            if kind == _ENDED:
                returned[name] = values[0]
                bar.expect(name, 0)
            elif kind == _FAILED:
                raise RungError(values[0])
            elif kind == _DIED and name not in returned:
                raise RungError(f"{what}: the process for {name} died (exit code {values[0]})")
            elif kind != _DIED:
                bar.show(name, kind, values)
    return sum(returned.values())


def _start(name: str, job: Job, events: SimpleQueue[tuple[str, Any]], stack: ExitStack) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | dict.fromkeys(THREADS, "1"),
    )
    stack.callback(_stop, process)
    assert process.stdin is not None
    process.stdin.write(pickle.dumps(sys.path) + pickle.dumps(job))
    process.stdin.flush()
    threading.Thread(target=_listen, args=(name, process, events), daemon=True).start()


def _listen(
    name: str, process: subprocess.Popen[bytes], events: SimpleQueue[tuple[str, Any]]
) -> None:
    assert process.stdout is not None
    try:
        while True:
            events.put((name, pickle.load(process.stdout)))
    except (EOFError, pickle.UnpicklingError, ValueError):
        events.put((name, (_DIED, process.wait())))


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


@dataclass(slots=True)
class _Bar:
    """One bar for all jobs; it knows its length when every job has said its own."""

    what: str
    progress: Progress
    totals: dict[str, int | None]
    done: int = 0

    def open(self) -> None:
        self.progress.start(f"get ready to {self.what}")

    def show(self, name: str, kind: str, values: list[Any]) -> None:
        if kind == "start":
            if values[1] is not None:
                self.expect(name, values[1])
        elif kind == "advance":
            units, note = values
            self.done += units
            self.progress.advance(units, note and f"{name}: {note}")
        else:
            self.progress.log(f"{name}: {values[0]}")

    def expect(self, name: str, units: int) -> None:
        """A job has so many units to do from here on; 0 adds none to what it has said."""
        was_known = self.is_known
        self.totals[name] = (self.totals[name] or 0) + units
        if self.is_known and (units or not was_known):
            self.progress.start(self.what, sum(n or 0 for n in self.totals.values()))
            self.progress.advance(self.done)

    @property
    def is_known(self) -> bool:
        return None not in self.totals.values()


@dataclass(frozen=True, slots=True)
class _Told:
    """A job's `Progress`: every word goes to the parent."""

    pipe: BinaryIO
    _lock: Any = field(default_factory=threading.Lock)

    def start(self, what: str, total: int | None = None) -> None:
        self.tell("start", what, total)

    def advance(self, units: int = 1, note: str = "") -> None:
        self.tell("advance", units, note)

    def log(self, message: str) -> None:
        self.tell("log", message)

    def tell(self, *event: Any) -> None:
        with self._lock:
            self.pipe.write(pickle.dumps(event))
            self.pipe.flush()


def work() -> None:
    """Do the job that stands on stdin; what libraries print goes to stderr."""
    told = _Told(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    sys.path[:] = pickle.load(sys.stdin.buffer)  # before the job, whose modules lie on it
    job = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        told.tell(_ENDED, job(told))
    except RungError as error:
        told.tell(_FAILED, str(error))


def _end_with_parent() -> None:
    # Not sys.stdin: a thread that holds its lock would be in the way of the interpreter's end.
    while os.read(0, 1):  # comes back when the parent has closed its end or is gone
        pass
    os._exit(1)
