"""A run's event log: typed JSONL, written as things happen, and all that a rerun needs.

What was sampled and what was scored is named by its prefix and by how it was asked for, not by
when: a search is a pure function of the answers, so a rerun asks the same questions again, and
finds the answers here. It may ask more of them (a larger budget) or in another order.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import msgspec

from rung.core.errors import InputError
from rung.core.files import claim, make_room
from rung.core.types import Step
from rung.core.urls import growing


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was written behind a prefix."""

    steps: tuple[Step, ...]
    answer: str | None
    finish_reason: str | None
    num_tokens: int
    logprobs: tuple[float | None, ...] | None = None
    """Of the steps, where the sampling keeps them."""


class Begun(msgspec.Struct, tag="begun", tag_field="event"):
    """The first row: what all others depend on."""

    search_of: str


class Sampled(msgspec.Struct, tag="sampled", tag_field="event"):
    """The policy has continued a prefix."""

    key: str
    """See `rung.search.run.Order.key`."""
    pieces: tuple[Piece, ...]


class Scored(msgspec.Struct, tag="scored", tag_field="event"):
    """A chain has its scores."""

    chain: str
    scores: tuple[float | None, ...]


class Ended(msgspec.Struct, tag="ended", tag_field="event"):
    """A search is over. For people who read the log; a rerun finds it out again."""

    problem: str
    reason: Literal["done", "tokens", "calls", "seconds", "money", "failed"]
    tokens_sampled: int
    tokens_scored: int
    calls: int
    chosen: str | None


Event = Begun | Sampled | Scored | Ended


@dataclass(slots=True)
class SearchLog:
    """What was sampled and scored before, in this run or an earlier one."""

    sampled: dict[str, tuple[Piece, ...]] = field(default_factory=dict[str, tuple[Piece, ...]])
    scored: dict[str, tuple[float | None, ...]] = field(
        default_factory=dict[str, tuple[float | None, ...]]
    )
    _stream: IO[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path, search_of: str) -> Generator[SearchLog]:
        """Go on with the log in a file, or begin one. Half a row at its end was a kill: it goes.

        Args:
            path: JSONL, only ever appended to.
            search_of: Names all that the answers depend on: policy, sampling, scorer.

        Raises:
            InputError: The file is no such log, or one of another policy, sampling or scorer.
            RungError: Another run is writing there.
        """
        make_room(path)
        with growing(path) as here, open(here, "ab") as stream:
            claim(stream, here)
            log = cls()
            end = log._read(here, search_of)
            os.truncate(here, end)
            log._stream = stream
            if end == 0:
                log._write(Begun(search_of))
            yield log
        log._stream = None

    def add(self, *events: Event) -> None:
        """Keep events; they outlive a kill from here on."""
        for event in events:
            self._take(event)
        self._write(*events)

    def _take(self, event: Event) -> None:
        if isinstance(event, Sampled):
            self.sampled[event.key] = event.pieces
        elif isinstance(event, Scored):
            self.scored[event.chain] = event.scores

    def _write(self, *events: Event) -> None:
        if self._stream is not None:
            self._stream.write(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
            self._stream.flush()

    def _read(self, path: Path, search_of: str) -> int:
        """Take in the whole rows; return where they end."""
        end = 0
        with open(path, "rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    _check_cut(line, number, path)
                    break
                event = _decode(line, path, number)
                if number == 1:
                    _check_begun(event, path, search_of)
                self._take(event)
                end += len(line)
        return end


def _check_begun(event: Event, path: Path, search_of: str) -> None:
    if not isinstance(event, Begun):
        raise InputError("this is no log of searches", file=str(path), line=1)
    if event.search_of != search_of:
        reason = "these searches had another policy, sampling or scorer; choose another file"
        raise InputError(reason, file=str(path))


def _check_cut(line: bytes, number: int, path: Path) -> None:
    """A file without one whole line may only be the beginning of a log."""
    if number == 1 and not line.startswith(b'{"event":"begun"'[: len(line)]):
        raise InputError("this is no log of searches", file=str(path), line=1)


def _decode(line: bytes, path: Path, number: int) -> Event:
    try:
        return msgspec.json.decode(line, type=Event)
    except msgspec.DecodeError as error:
        reason = f"this is no row of a search's log ({error})"
        raise InputError(reason, file=str(path), line=number) from error
