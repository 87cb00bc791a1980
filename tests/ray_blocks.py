"""Work for a Ray cluster that tells who did what."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Generator
from pathlib import Path

from rung.core import RungError
from rung.label.scale import Open


@contextlib.contextmanager
def shouting(folder: str, pause_s: float) -> Generator[Callable[[bytes], bytes]]:
    """Makes capitals of a block, slowly; leaves a file PID.BLOCK.begun and, behind it, .done."""

    def do(block: bytes) -> bytes:
        done = _begin(folder, block.decode())
        if block == b"bad":
            raise RungError("this block is bad")
        if block == b"deadly":
            os.kill(os.getpid(), 9)
        time.sleep(pause_s)
        done.touch()
        return block.upper()

    yield do


@contextlib.contextmanager
def killed_once(folder: str, open: Open) -> Generator[Callable[[bytes], bytes]]:
    """Any work; the first worker that has made something of a block dies with it in its hands.

    Leaves the files that `shouting` leaves, with the block's hash as its name.
    """
    with open() as work:

        def do(block: bytes) -> bytes:
            done = _begin(folder, hashlib.blake2b(block, digest_size=8).hexdigest())
            made = work(block)
            with contextlib.suppress(FileExistsError):
                (Path(folder) / "killed").touch(exist_ok=False)
                os.kill(os.getpid(), 9)
            done.touch()
            return made

        yield do


def _begin(folder: str, block: str) -> Path:
    """Leave the file that says so; return the one that will say that it is done."""
    name = f"{os.getpid()}.{time.monotonic_ns()}.{block}"
    (Path(folder) / f"{name}.begun").touch()
    return Path(folder) / f"{name}.done"


def pids(folder: Path, state: str) -> dict[str, list[int]]:
    """Who began (or has done) which block, in order of time."""
    found: dict[str, list[tuple[int, int]]] = {}
    for path in folder.glob(f"*.{state}"):
        pid, at, block, _ = path.name.split(".")
        found.setdefault(block, []).append((int(at), int(pid)))
    return {block: [pid for _, pid in sorted(who)] for block, who in found.items()}
