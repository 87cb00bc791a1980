"""What is sent to a cluster's workers and what is made of their answers, without a cluster."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import pytest

from coin_policy import CoinPolicy, chain_of, good
from rung.core import ChainRecord, RungError, Sampling, UnavailableError
from rung.core.progress import Silent
from rung.label import OmegaForest, OmegaRule, RolloutLabels, RolloutRule, RolloutSource, scale_work
from rung.label.chat import Asked, Message, Reply
from rung.label.judge import JudgeLabeler
from rung.label.judge_forms import make_form
from rung.label.rollout_source import Asking, label_by_rollouts
from rung.label.scale import Cluster, Open, _Actor, _table, pack, unpack
from rung.label.scale_work import ChatCluster, roll_out


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Puts one worker in this process in the place of Ray; the blocks that it was sent."""
    blocks_sent: list[bytes] = []

    def finished(open: Open, blocks: Iterable[bytes], _: Cluster) -> Iterator[tuple[int, bytes]]:
        blocks = list(blocks)
        blocks_sent.extend(blocks)
        with open() as do:
            for index in reversed(range(len(blocks))):  # the last one is finished first
                yield index, do(blocks[index])

    monkeypatch.setattr(scale_work, "finished", finished)
    return blocks_sent


RECORDS = [
    ChainRecord(chain_of(*good(k), "bad", *good(4 - k), problem=f"p{p}"))
    for k in range(4)
    for p in range(6)
]


def start_labels(records: Sequence[ChainRecord]) -> RolloutLabels:
    rule = RolloutRule(labels="majority", k=8)
    return RolloutLabels.start([r.chain for r in records], [None] * len(records), rule)


def start_search(records: Sequence[ChainRecord]) -> OmegaForest:
    chains = [r.chain for r in records]
    return OmegaForest.start(chains, [None] * len(records), OmegaRule(k=4, grow=3))


def source_of(policy: CoinPolicy) -> RolloutSource:
    return RolloutSource(policy, policy, Sampling(seed=3), batch=8)


@pytest.mark.parametrize("start", [start_labels, start_search])
def test_rollouts_of_workers_give_the_labels_of_one_machine(start: Any, sent: list[bytes]) -> None:
    here = start(RECORDS)
    alone = source_of(CoinPolicy())
    label_by_rollouts(here, alone)

    source, workers = source_of(CoinPolicy()), CoinPolicy()
    open = partial(nullcontext, source_of(workers))
    roll_out(RECORDS, start, source, open, Cluster(), Silent())
    assert len(sent) == 3, "whole problems, two of four chains in a block"
    there: Asking = start(RECORDS)
    label_by_rollouts(there, source)
    assert there.result() == here.result()
    assert not source.generator.sampled, "the driver samples nothing"
    assert source.new_rollouts == workers.sampled.total() == alone.new_rollouts


@pytest.mark.parametrize("start", [start_labels, start_search])
def test_rollouts_of_an_earlier_run_are_not_made_again(start: Any, sent: list[bytes]) -> None:
    machine, source = start(RECORDS), source_of(CoinPolicy(calls_left=4))
    with pytest.raises(KeyboardInterrupt):
        label_by_rollouts(machine, source)
    logged = source.new_rollouts
    workers = CoinPolicy()
    open = partial(nullcontext, source_of(workers))
    roll_out(RECORDS, start, source, open, Cluster(), Silent())
    alone = source_of(CoinPolicy())
    label_by_rollouts(start(RECORDS), alone)
    assert 0 < logged < alone.new_rollouts
    assert workers.sampled.total() == alone.new_rollouts - logged
    roll_out(RECORDS, start, source, open, Cluster(), Silent())
    assert len(sent) == 3, "nothing is sent that is settled"


@dataclass(slots=True)
class Parrot:
    """A `ChatModel` that finds no error, until it fails."""

    name: str = "parrot"
    fingerprint: Any = "parrot"
    answers_left: int | None = None
    asked: list[Asked] = field(default_factory=list[Asked])

    def replies(self, asked_B: Sequence[Asked]) -> Iterator[tuple[int, Reply]]:
        for place, asked in enumerate(asked_B):
            if self.answers_left is not None:
                if self.answers_left == 0:
                    raise UnavailableError("the parrot sleeps")
                self.answers_left -= 1
            self.asked.append(asked)
            yield place, Reply(rf"\boxed{{{-1 if asked.vote % 2 else 0}}}", 10, 1)


def judge(model: Any) -> JudgeLabeler:
    return JudgeLabeler(model, make_form("first-error", None, None), "judge:parrot", votes=3)


@pytest.mark.usefixtures("sent")
def test_a_judge_on_a_cluster_says_what_it_says_here() -> None:
    chains = [record.chain for record in RECORDS]
    here, there = judge(Parrot()), judge(ChatCluster(Parrot(), Parrot, Cluster(), batch=5))
    assert there.label(chains) == here.label(chains)
    assert there.spent == here.spent


@pytest.mark.usefixtures("sent")
def test_replies_before_a_failure_are_given() -> None:
    chat = ChatCluster(Parrot(), partial(Parrot, answers_left=2), Cluster(), batch=3)
    replies: list[int] = []
    with pytest.raises(UnavailableError, match="the parrot sleeps"):
        for place, _ in chat.replies([Asked((Message("user", f"{k}"),)) for k in range(3)]):
            replies.append(place)
    assert replies == [0, 1]


def test_a_worker_tells_of_a_mistake_in_one_sentence() -> None:
    def broken(block: bytes) -> bytes:
        raise RungError(f"{block.decode()} is bad")

    table = _Actor(partial(nullcontext, broken))(_table(index=4, block=pack(b"this")))
    [row] = table.to_pylist()
    assert (row["index"], row["failure"], row["passing"]) == (4, "this is bad", False)


def test_a_block_may_hold_any_bytes() -> None:
    actor = _Actor(partial(nullcontext, bytes.upper))
    for block in (b"", b"a\0", bytes(range(256)) * 5000):
        [row] = actor(_table(index=0, block=pack(block))).to_pylist()
        assert unpack(row["made"]) == block.upper()


def test_records_come_back_from_a_block_as_they_were() -> None:
    block = scale_work._Problems(RECORDS, b"\0")
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(block), type=scale_work._Problems)
    assert again.records == RECORDS
