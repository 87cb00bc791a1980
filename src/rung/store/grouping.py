"""One transaction for what many people want at the same time.

A transaction that writes waits for the disk; fifty in turn wait fifty times. Here whatever came
while one was under way goes into the next one together, and is answered when that is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
MOST = 64
"""Jobs in one transaction."""


class _Waiting(NamedTuple):
    job: Callable[[Connection], Any]
    answer: Future[Any]


class Grouped:
    """Does jobs in the order in which they come, on a thread of its own, in few transactions.

    Where a job fails, its transaction is undone and each of its jobs is done again in one of its
    own: so a job must do nothing but what its connection can undo, and no job sees another's error.
    """

    def __init__(self, transaction: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._transaction = transaction
        self._waiting: SimpleQueue[_Waiting] = SimpleQueue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rung-store")

    def ask(self, job: Callable[[Connection], T]) -> Future[T]:
        """Have a job done; the answer comes when what it wrote is on the disk."""
        answer: Future[T] = Future()
        self._waiting.put(_Waiting(job, answer))
        self._thread.submit(self._work)
        return answer

    def close(self) -> None:
        """Do what is still waiting, and end the thread."""
        self._thread.shutdown()

    def _work(self) -> None:
        """What waits now; nothing, where an earlier call took it along."""
        group: list[_Waiting] = []
        try:
            while len(group) < MOST:
                one = self._waiting.get_nowait()
                if one.answer.set_running_or_notify_cancel():
                    group.append(one)
        except Empty:
            pass
        if group and not self._done(group):
            for one in group:
                self._done([one])

    def _done(self, group: list[_Waiting]) -> bool:
        """Do jobs in one transaction; False where one failed that others could be done without."""
        found: list[Any] = []
        has_begun = False
        try:
            with self._transaction() as connection:
                has_begun = True
                found.extend(one.job(connection) for one in group)
        except BaseException as error:
            if has_begun and len(found) < len(group) > 1:
                return False
            for one in group:
                one.answer.set_exception(error)
            return True
        for one, result in zip(group, found, strict=True):
            one.answer.set_result(result)
        return True
