"""`--ray`: what the verbs share that can do their work on a Ray cluster."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from rung.core.codec import decode_record, encode_record
from rung.core.errors import RungError
from rung.core.resume import partial_path
from rung.core.types import ChainRecord

if TYPE_CHECKING:
    from rung.label.scale import Cluster, Open

LOCAL = "local"


def _address(words: list[str]) -> str:
    if len(words) > 1:
        raise ValueError(f"--ray takes one address, not {' '.join(words)}")
    return words[0] if words else LOCAL


def _is_address(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _words(address: str | None) -> list[str]:
    return [] if address is None else [address]


Address = Annotated[
    str | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="[ADDRESS]",
        instance_from_str=_address,
        is_instance=_is_address,
        str_from_instance=_words,
    ),
    tyro.conf.arg(help_behavior_hint=""),
]
"""The type of an option that may be given with or without an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Where the work is done."""

    ray: Address = None
    """Do the work on a Ray cluster: at HOST:PORT, with "auto" on the one that this machine is part
    of, without an address on one that is started here. Write it behind the files."""
    ray_workers: int | None = None
    """Workers; without it one a processor, or as many as there is room for by --ray-gpus."""
    ray_gpus: float = 0.0
    """GPUs that each worker has for itself."""

    def cluster(self) -> Cluster | None:
        """The cluster; None to work here.

        Raises:
            RungError: An option is out of its range, or nothing is done over Ray.
        """
        if self.ray is None:
            if self.ray_workers is not None or self.ray_gpus:
                raise RungError("--ray-workers and --ray-gpus need --ray")
            return None
        from rung.label.scale import Cluster

        if self.ray not in (LOCAL, "auto") and ":" not in self.ray:
            raise RungError(f"--ray is {self.ray!r}, expected HOST:PORT; files go before --ray")
        return Cluster(address=self.ray, workers=self.ray_workers, gpus=self.ray_gpus)


HERE = Scaling()
ScalingOptions = Annotated[Scaling, tyro.conf.arg(name="", prefix_name=False)]
"""The type of a verb's `Scaling`."""


@contextlib.contextmanager
def working(
    open: Open, cluster: Cluster | None, out: Path, made_from: str
) -> Generator[Callable[[Iterable[bytes]], Iterator[bytes]]]:
    """Give what makes of blocks, in order, what is to be made: here, or on a cluster.

    Here `open` is entered at once. On a cluster every worker enters it, and what is finished before
    its turn waits beside the partial file of `out` (see `rung.label.scale.in_order`).
    """
    kept = partial_path(out).with_suffix(".blocks")
    if cluster is None:
        with open() as do:
            yield lambda blocks: map(do, blocks)
        shutil.rmtree(kept, ignore_errors=True)  # of a run with --ray that was stopped
        return
    from rung.label.scale import in_order

    yield lambda blocks: in_order(open, blocks, cluster, kept, made_from)


def blocks_of(records: Iterable[ChainRecord], size: int) -> Iterator[bytes]:
    """The rows of `size` records after the other."""
    stream = iter(records)
    while window := list(islice(stream, size)):
        yield encode_block(window)


def encode_block(records: Iterable[ChainRecord]) -> bytes:
    """The rows of records."""
    return b"".join(map(encode_record, records))


def decode_block(block: bytes) -> list[ChainRecord]:
    """The records of rows."""
    return [decode_record(line) for line in block.splitlines()]
