"""Run a command and limit from outside what it can't be trusted to limit: its time, its output."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
"""All that a program gets to see of the environment. bwrap itself is started with it too: what
bwrap clears for the program can still be read in /proc/1/environ."""
DRAIN_S = 2.0
"""How long after the end of a program somebody may still hold its output open."""
Ending = Literal["exit", "timeout", "output", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may use."""

    wall_s: float = 20.0
    """Seconds from start to end, measured from outside; of processor time one second more."""
    memory_bytes: int = 2**29
    """Address space of each process."""
    processes: int = 8
    """Processes and threads at once."""
    file_bytes: int = 2**24
    """Size of a file, and of all files together."""
    output_bytes: int = 2**20
    """Of stdout and stderr together, counted from outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. Exit code and output come from the program: never take them for a proof."""

    ended: Ending
    """By itself, or ended from outside: the time was up, it wrote too much, or `until` said so."""
    exit_code: int
    """Negative: the signal that ended it."""
    stdout: bytes
    stderr: bytes
    wall_s: float


def supervise(
    command: Sequence[str],
    limits: Limits,
    *,
    stdin: int | None = None,
    stdout: int | None = None,
    until: int | None = None,
    pass_fds: Sequence[int] = (),
    cwd: str = "/",
) -> Outcome:
    """Run a command in a process group of its own; at the end the whole group is killed.

    For `stdin`, `stdout` and `until` see `rung.verify.sandbox.Sandbox.run`.
    """
    start_s = time.monotonic()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            pass_fds=pass_fds,
            cwd=cwd,
            start_new_session=True,
        )
    finally:
        for fd in (stdin, stdout):
            if fd is not None:
                os.close(fd)
    kept = {"stdout": bytearray(), "stderr": bytearray()}
    with process:  # closes the streams and reaps
        try:
            ended = _watch(process, kept, start_s + limits.wall_s, limits.output_bytes, until)
        finally:
            _kill_group(process)
    return Outcome(
        ended=ended,
        exit_code=process.returncode,
        stdout=bytes(kept["stdout"]),
        stderr=bytes(kept["stderr"]),
        wall_s=time.monotonic() - start_s,
    )


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Called before the leader is reaped, so its number can't be another's yet."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _watch(
    process: subprocess.Popen[bytes],
    kept: dict[str, bytearray],
    deadline_s: float,
    room: int,
    until: int | None,
) -> Ending:
    """Read until the process and its streams end, or it has to be ended."""
    end = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(end, selectors.EVENT_READ, "end")
            if until is not None:
                selector.register(until, selectors.EVENT_READ, "until")
            for name, buffer in kept.items():
                if (stream := getattr(process, name)) is not None:
                    selector.register(stream, selectors.EVENT_READ, buffer)
            return _read(process, selector, deadline_s, room)
    finally:
        os.close(end)


def _read(
    process: subprocess.Popen[bytes],
    selector: selectors.BaseSelector,
    deadline_s: float,
    room: int,
) -> Ending:
    has_ended = False
    while not has_ended or any(isinstance(k.data, bytearray) for k in selector.get_map().values()):
        events = selector.select(max(0.0, deadline_s - time.monotonic()))
        if not events:  # after its end: a daemon outside of the group holds a stream
            return "exit" if has_ended else "timeout"
        for key, _ in events:
            if key.data == "until":
                return "stopped"
            if key.data == "end":
                has_ended = True
                selector.unregister(key.fileobj)
                _kill_group(process)
                deadline_s = min(deadline_s, time.monotonic() + DRAIN_S)
                continue
            piece = os.read(key.fd, 2**16)
            key.data.extend(piece[: max(0, room)])
            room -= len(piece)
            if not piece:
                selector.unregister(key.fileobj)
            elif room < 0:
                return "output"
    return "exit"
