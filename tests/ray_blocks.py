"""Work for a Ray cluster that tells who did what."""

import contextlib
import os
import time
from collections.abc import Callable, Generator
from pathlib import Path

from rung.core import RungError


@contextlib.contextmanager
def shouting(folder: str, pause_s: float) -> Generator[Callable[[bytes], bytes]]:
    """Makes capitals of a block, slowly; leaves a file PID.BLOCK.begun and, behind it, .done."""

    def do(block: bytes) -> bytes:
        trace = Path(folder) / f"{os.getpid()}.{time.monotonic_ns()}.{block.decode()}"
        trace.with_name(f"{trace.name}.begun").touch()
        if block == b"bad":
            raise RungError("this block is bad")
        if block == b"deadly":
            os.kill(os.getpid(), 9)
        time.sleep(pause_s)
        trace.with_name(f"{trace.name}.done").touch()
        return block.upper()

    yield do


def pids(folder: Path, state: str) -> dict[str, list[int]]:
    """Who began (or has done) which block, in order of time."""
    found: dict[str, list[tuple[int, int]]] = {}
    for path in folder.glob(f"*.{state}"):
        pid, at, block, _ = path.name.split(".")
        found.setdefault(block, []).append((int(at), int(pid)))
    return {block: [pid for _, pid in sorted(who)] for block, who in found.items()}
