"""Asking a server several things at once, and losing nothing of what it has answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def as_done(items: Iterable[A], do: Callable[[A], B], at_once: int) -> Iterator[tuple[A, B]]:
    """Each item with what `do` made of it, as it comes; `at_once` are under way or not yet taken.

    So whoever keeps what it takes loses `at_once` answers at most when it is killed. After a
    failure nothing more is begun, what is under way is waited for and given, and then the first
    failure is raised.
    """
    left, failures = deque(items), list[BaseException]()
    with ThreadPoolExecutor(at_once) as threads:
        going = dict[Future[B], A]()
        while left or going:
            while left and len(going) < at_once:
                item = left.popleft()
                going[threads.submit(do, item)] = item
            future = next(as_completed(going))
            item, failure = going.pop(future), future.exception()
            if failure is None:
                yield item, future.result()
            else:
                failures.append(failure)
                left.clear()
    if failures:
        raise failures[0]
