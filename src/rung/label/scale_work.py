"""Rollouts and judges on a cluster: what workers make is put into the logs that the labelers read.

The log is the checkpoint. When it has all that the labels need, the labeler reads it as it does
on one machine, so the labels are the same.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from rung.core import ChainRecord, Progress, RungError, UnavailableError
from rung.label.chat import BATCH, Asked, ChatModel, Reply
from rung.label.rollout_source import (
    Asking,
    RolloutLog,
    RolloutSource,
    is_settled,
    label_by_rollouts,
)
from rung.label.scale import Cluster, Do, finished

Start = Callable[[Sequence[ChainRecord]], Asking]
"""Begins with what is to be labeled; pickled, as what opens a worker is."""


class _Problems(msgspec.Struct):
    """Chains of whole problems, with the rollouts that there are of them."""

    records: list[ChainRecord]
    known: bytes


def roll_out(
    records: Sequence[ChainRecord],
    start: Start,
    source: RolloutSource,
    open: Callable[[], AbstractContextManager[RolloutSource]],
    cluster: Cluster,
    progress: Progress,
) -> None:
    """Make all rollouts that the labels of records need, and put them into the source's log.

    A block is whole problems, about `source.batch` chains: chains of one problem share rollouts,
    chains of two never do. A worker's death costs the rollouts of the block in its hands.

    Args:
        records: What is to be labeled.
        start: Begins the labeling of some of them.
        source: Whose log has, and gets, the rollouts. Nothing is sampled from it.
        open: Opens a worker's source; its log is not used.
        cluster: Where the workers are.
        progress: Told of the rollouts.
    """
    blocks = [
        msgspec.msgpack.encode(_Problems(some, source.log.rows_about(r.chain for r in some)))
        for some in _whole_problems(records, source.batch)
        if not is_settled(start(some), source.log)
    ]
    for _, made in finished(partial(_rolling, open, start), blocks, cluster):
        count = source.log.take(made)
        source.new_rollouts += count
        progress.advance(count)


@contextlib.contextmanager
def _rolling(
    open: Callable[[], AbstractContextManager[RolloutSource]], start: Start
) -> Generator[Do]:
    with open() as source:

        def do(block: bytes) -> bytes:
            problems, made = msgspec.msgpack.decode(block, type=_Problems), io.BytesIO()
            log = RolloutLog.elsewhere(problems.known, made)
            label_by_rollouts(start(problems.records), replace(source, log=log))
            return made.getvalue()

        yield do


def _whole_problems(records: Sequence[ChainRecord], size: int) -> Iterator[list[ChainRecord]]:
    by_problem: dict[str, list[ChainRecord]] = {}
    for record in records:
        by_problem.setdefault(record.chain.problem.root_id, []).append(record)
    block = list[ChainRecord]()
    for some in by_problem.values():
        if block and len(block) + len(some) > size:
            yield block
            block = []
        block += some
    if block:
        yield block


class _Answers(msgspec.Struct):
    """Replies by place, and why there are no more."""

    replies: list[tuple[int, Reply]]
    failure: str | None = None
    is_passing: bool = False


@dataclass(frozen=True, slots=True)
class ChatCluster:
    """A `ChatModel` whose conversations are answered by workers, `batch` at a time.

    The workers are started for every call of `replies`, so ask for much at once.
    """

    model: ChatModel
    """Whom the workers ask; here it only gives its name and its fingerprint."""
    open: Callable[[], ChatModel]
    """Opens a worker's model."""
    cluster: Cluster
    batch: int = BATCH
    """A worker's death costs so many replies."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def fingerprint(self) -> Any:
        """The model's: the answers do not depend on where they are given."""
        return self.model.fingerprint

    def replies(self, asked_B: Sequence[Asked]) -> Iterator[tuple[int, Reply]]:
        """Replies as the workers give them.

        Raises:
            RungError: A worker's model can't be asked. Its replies until then are given first.
        """
        places = sorted(range(len(asked_B)), key=lambda place: asked_B[place].vote)
        chunks = [places[k : k + self.batch] for k in range(0, len(places), self.batch)]
        blocks = [msgspec.msgpack.encode([asked_B[place] for place in chunk]) for chunk in chunks]
        coming = finished(partial(_answering, self.open), blocks, self.cluster)
        with contextlib.closing(coming):
            for index, made in coming:
                answers = msgspec.msgpack.decode(made, type=_Answers)
                for place, reply in answers.replies:
                    yield chunks[index][place], reply
                if answers.failure is not None:
                    raise (UnavailableError if answers.is_passing else RungError)(answers.failure)


@contextlib.contextmanager
def _answering(open: Callable[[], ChatModel]) -> Generator[Do]:
    model = open()

    def do(block: bytes) -> bytes:
        answers = _Answers([])
        try:
            for place, reply in model.replies(msgspec.msgpack.decode(block, type=list[Asked])):
                answers.replies.append((place, reply))
        except RungError as error:
            answers.failure, answers.is_passing = str(error), isinstance(error, UnavailableError)
        return msgspec.msgpack.encode(answers)

    yield do
