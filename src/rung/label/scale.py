"""The same work on many processors and machines: blocks of rows over Ray Data.

A block is the bytes of some rows. A worker is a Ray actor: it opens what it needs (a policy, a
scorer, a sandbox) once, and then makes something of every block that it is given. Blocks travel
compressed through Ray's object store, so the workers need no file of the driver's, and what was
made comes back to the driver, which alone writes. A worker that dies is started again, and only
the block in its hands is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import socket
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from rung.core.errors import MissingExtraError, RungError, UnavailableError
from rung.core.files import replacing

Do = Callable[[bytes], bytes]
"""What a worker makes of one block."""
Open = Callable[[], AbstractContextManager[Do]]
"""Opens a worker. It is pickled, so it is a function of a module or a method of plain values."""

DEATHS = 3
"""A block whose worker died so often, and once more, is not tried again. (It may be the block.)"""
OBJECT_STORE_BYTES = 256 * 2**20
"""Of a cluster that is started here; what is more is spilled to the disk."""
KNOCK_S = 30.0
LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where the workers are."""

    address: str = LOCAL
    """HOST:PORT or ray://HOST:PORT of a Ray cluster, "auto" for the one that this machine is part
    of, "local" for one that is started here and ends with the work. Inside a process that is
    connected already it is not looked at."""
    workers: int | None = None
    """None: one a processor, or with `gpus` as many as the cluster has room for."""
    gpus: float = 0.0
    """GPUs that each worker has for itself; a fraction lets workers share one."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise RungError(f"there are {self.workers} workers, expected at least 1")
        if self.gpus < 0:
            raise RungError(f"a worker has {self.gpus:g} GPUs, expected at least 0")


def finished(
    open: Open, blocks: Iterable[bytes], cluster: Cluster
) -> Generator[tuple[int, bytes], None, None]:
    """The place of each block and what was made of it, as the workers finish them.

    Raises:
        RungError: A worker raised it.
        UnavailableError: The cluster can't be reached, or a block's workers died again and again.
        MissingExtraError: Ray is not installed.
    """
    return _finished(open, [pack(block) for block in blocks], cluster)


def _finished(
    open: Open, packed: Sequence[bytes], cluster: Cluster
) -> Generator[tuple[int, bytes], None, None]:
    if not packed:
        return
    with _connected(cluster) as ray:
        dataset = _over_actors(ray, open, packed, cluster)
        try:
            for row in dataset.iter_rows():
                if row["failure"]:
                    kind = UnavailableError if row["passing"] else RungError
                    raise kind(row["failure"])
                yield row["index"], unpack(row["made"])
        except ray.exceptions.RayTaskError:  # a mistake of ours: its traceback says more
            raise
        except ray.exceptions.RayError as error:
            raise UnavailableError(f"Ray can't go on: {_in_short(error)}") from error


def in_order(
    open: Open, blocks: Iterable[bytes], cluster: Cluster, kept: Path, made_from: str
) -> Iterator[bytes]:
    """What was made of each block, in the blocks' order.

    What is finished before its turn waits in the folder `kept`, under the hash of its block and of
    `made_from`, and outlives a kill: who runs this again makes only what is missing. The folder is
    gone at the end, and after a `RungError` that the same input would bring again.

    Args:
        open: Opens a worker.
        blocks: All of them are held in memory, compressed.
        cluster: Where the workers are.
        kept: A folder for finished blocks.
        made_from: Names all that the result depends on besides the block.
    """
    names = list[Path]()
    packed = list[bytes]()
    for block in blocks:
        names.append(kept / hashlib.blake2b(block, digest_size=16, key=_key(made_from)).hexdigest())
        packed.append(pack(block))
    missing = [k for k, name in enumerate(names) if not name.is_file()]
    coming = _finished(open, [packed[k] for k in missing], cluster)
    try:
        with contextlib.closing(coming):
            for name in names:
                while not name.is_file():
                    index, made = next(coming)
                    _keep(names[missing[index]], made)
                yield name.read_bytes()
    except UnavailableError:
        raise
    except RungError:
        shutil.rmtree(kept, ignore_errors=True)
        raise
    shutil.rmtree(kept, ignore_errors=True)


class _Actor:
    """A worker in its process. It opens at the first block, where a `RungError` can be told."""

    def __init__(self, open: Open) -> None:
        self._open = open
        self._stack = ExitStack()
        self._do: Do | None = None

    def __call__(self, table: Any) -> Any:
        [index], [block] = table["index"].to_pylist(), table["block"].to_pylist()
        try:
            return _table(index=index, made=pack(self._make(unpack(block))))
        except RungError as error:
            is_passing = isinstance(error, UnavailableError)
            return _table(index=index, failure=str(error), passing=is_passing)

    def _make(self, block: bytes) -> bytes:
        if self._do is None:
            self._do = self._stack.enter_context(self._open())
        return self._do(block)


def _over_actors(ray: Any, open: Open, packed: Sequence[bytes], cluster: Cluster) -> Any:
    workers = min(cluster.workers or _room(ray, cluster.gpus), len(packed))
    tables = [_table(index=index, block=block) for index, block in enumerate(packed)]
    with warnings.catch_warnings():
        # Ray 2.60 warns of `ray_remote_args_fn`, and has nothing else that bounds the deaths.
        warnings.simplefilter("ignore")
        return ray.data.from_arrow(tables).map_batches(
            _Actor,
            fn_constructor_args=(open,),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=cluster.gpus or None,
            ray_remote_args_fn=_bounded_deaths,
        )


def _bounded_deaths() -> dict[str, int]:
    return {"max_restarts": -1, "max_task_retries": DEATHS}


def _room(ray: Any, gpus: float) -> int:
    """How many workers the cluster has room for now."""
    has = ray.cluster_resources()
    fits = has.get("GPU", 0) / gpus if gpus else has.get("CPU", 1)
    return max(1, int(fits))


@contextlib.contextmanager
def _connected(cluster: Cluster) -> Generator[Any]:
    """Ray's module while there is a cluster. What Ray prints goes to stderr."""
    ray = _ray()
    with contextlib.redirect_stdout(sys.stderr):
        if ray.is_initialized():
            yield ray
            return
        try:
            _knock(cluster.address)
            ray.init(**_how(cluster))
        except (OSError, RuntimeError, ValueError) as error:
            reason = _in_short(error)
            raise UnavailableError(f"no Ray cluster at {cluster.address!r}: {reason}") from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """See that something listens there: Ray itself tries for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()


def _how(cluster: Cluster) -> dict[str, Any]:
    how = {"address": cluster.address, "log_to_driver": False, "logging_level": logging.ERROR}
    if cluster.address == LOCAL:
        count = cluster.workers or os.cpu_count() or 1
        how |= {"num_cpus": count, "object_store_memory": OBJECT_STORE_BYTES}
        how["include_dashboard"] = False
    return how


def _ray() -> Any:
    # before the import, which reads them: nothing is reported to Ray's makers, nothing is printed
    # once more at the end, and of the C++ core's log lines only fatal ones are shown
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own deprecations
        try:
            import ray
            import ray.data
        except ImportError:
            raise MissingExtraError("ray", "ray") from None
        context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def _table(
    *, index: int, block: bytes = b"", made: bytes = b"", failure: str = "", passing: bool = False
) -> Any:
    """One row; the same columns on the way to a worker and back."""
    import pyarrow as pa

    columns = {
        "index": pa.array([index], pa.int64()),
        "block": pa.array([block], pa.large_binary()),
        "made": pa.array([made], pa.large_binary()),
        "failure": pa.array([failure], pa.string()),
        "passing": pa.array([passing], pa.bool_()),
    }
    return pa.table(columns)


def _keep(name: Path, made: bytes) -> None:
    with replacing(name) as aside:
        aside.write_bytes(made)


def _key(made_from: str) -> bytes:
    return hashlib.blake2b(made_from.encode(), digest_size=32).digest()


def pack(block: bytes) -> bytes:
    """A block as it travels."""
    return zstandard.ZstdCompressor().compress(block)


def unpack(packed: bytes) -> bytes:
    """The block that was packed."""
    return zstandard.ZstdDecompressor().decompress(packed)


def _in_short(error: BaseException) -> str:
    """What Ray says first, and the last error that it names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines[1:] if re.match(r"[\w.]+Error: ", line)]
    return " ".join([*lines[:1], *(f"({line})" for line in named[-1:])]) or type(error).__name__
