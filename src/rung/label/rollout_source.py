"""Rollouts from a policy, verified, and kept in a log so that none is paid for twice."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Generator as Yields
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Protocol

import msgspec

from rung.core import Chain, Generator, InputError, Progress, Sampling, Verifier
from rung.core.files import claim, make_room
from rung.core.progress import Silent
from rung.core.urls import growing
from rung.label.rollouts import Ask, Rollout

BATCH = 256
"""Rollouts made together; a kill loses at most these."""


class Asking(Protocol):
    """What `label_by_rollouts` drives: `RolloutLabels`, `OmegaForest`."""

    def ask(self) -> list[Ask]:
        """The next rollouts to make; empty at the end."""
        ...

    def tell(self, asks: Sequence[Ask], rollouts: Sequence[Sequence[Rollout]]) -> None:
        """What came of each ask."""
        ...


class _Header(msgspec.Struct):
    rollouts_of: str


class _Row(msgspec.Struct):
    prefix: str
    rollouts: tuple[Rollout, ...]


@dataclass(slots=True)
class RolloutLog:
    """Rollouts by the id of the prefix at which they started, in the order they were made."""

    _rollouts: dict[str, list[Rollout]] = field(default_factory=dict[str, list[Rollout]])
    _stream: IO[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path, made_by: str) -> Yields[RolloutLog]:
        """Go on with the log in a file, or begin one. Half a row at its end was a kill: it goes.

        Args:
            path: JSONL, only ever appended to; a run may use the log of another run.
            made_by: Names all that the rollouts depend on: policy, sampling, verifier.

        Raises:
            InputError: The file is no such log, or one of other rollouts.
            RungError: Another run is writing there.
        """
        make_room(path)
        with growing(path) as here, open(here, "ab") as stream:
            claim(stream, here)
            log = cls()
            end = log._read(here, made_by)
            os.truncate(here, end)
            log._stream = stream
            if end == 0:
                log._write(msgspec.json.encode(_Header(made_by)))
            yield log
        log._stream = None

    @classmethod
    def elsewhere(cls, known: bytes, made: IO[bytes]) -> RolloutLog:
        """A log that begins with another's rows (`rows_about`) and writes new ones to `made`."""
        log = cls()
        log.take(known)
        log._stream = made
        return log

    def take(self, rows: bytes) -> int:
        """Keep rows that another log wrote; return the number of rollouts."""
        decoded = [msgspec.json.decode(line, type=_Row) for line in rows.splitlines()]
        self.add([(row.prefix, row.rollouts) for row in decoded])
        return sum(len(row.rollouts) for row in decoded)

    def rows_about(self, chains: Iterable[Chain]) -> bytes:
        """The rows of all prefixes of chains, and of what was rolled out from them, and so on."""
        waiting = [id for chain in chains for id in _prefix_ids(chain)]
        rows = dict[str, bytes]()
        while waiting:
            id = waiting.pop()
            if id in rows or not (rollouts := tuple(self.of(id))):
                continue
            rows[id] = msgspec.json.encode(_Row(id, rollouts)) + b"\n"
            waiting += [step.id for rollout in rollouts for step in rollout.steps]
        return b"".join(rows.values())

    def of(self, prefix_id: str) -> Sequence[Rollout]:
        """The rollouts of a prefix."""
        return self._rollouts.get(prefix_id, ())

    def add(self, rollouts: Sequence[tuple[str, tuple[Rollout, ...]]]) -> None:
        """Keep new rollouts of prefixes; they outlive a kill from here on."""
        for prefix_id, made in rollouts:
            self._rollouts.setdefault(prefix_id, []).extend(made)
        self._write(*(msgspec.json.encode(_Row(*row)) for row in rollouts))

    def _write(self, *rows: bytes) -> None:
        if self._stream is not None:
            self._stream.write(b"".join(row + b"\n" for row in rows))
            self._stream.flush()

    def _read(self, path: Path, made_by: str) -> int:
        """Take in the whole rows; return where they end."""
        with open(path, "rb") as stream:
            header = stream.readline()
            if not header.endswith(b"\n"):
                _check_begun(header, path)
                return 0
            _check_header(header, path, made_by)
            end = len(header)
            for number, line in enumerate(stream, start=2):
                if not line.endswith(b"\n"):
                    break
                end += len(line)
                row = _decode(line, path, number)
                self._rollouts.setdefault(row.prefix, []).extend(row.rollouts)
        return end


@dataclass(slots=True)
class RolloutSource:
    """Answers asks from the log, and by sampling and verifying what it doesn't have.

    Every rollout draws from random numbers named by the sampling's seed, its prefix and how many
    rollouts that prefix had before.
    """

    generator: Generator
    verifier: Verifier
    sampling: Sampling
    log: RolloutLog = field(default_factory=RolloutLog)
    batch: int = BATCH
    new_rollouts: int = 0
    """Sampled by this object, not found in the log."""

    def roll(
        self, asks: Sequence[Ask], progress: Progress | None = None
    ) -> list[tuple[Rollout, ...]]:
        """The rollouts of each ask, in order."""
        progress = progress or Silent()
        for first, missing in self._missing(asks).items():
            for window in _windows(missing, self.batch):
                self._sample(first, window)
                progress.advance(sum(count for _, count in window))
        logged = [self.log.of(ask.prefix.prefix_id) for ask in asks]
        return [
            tuple(rollouts[ask.first : ask.first + ask.count])
            for ask, rollouts in zip(asks, logged, strict=True)
        ]

    def _missing(self, asks: Sequence[Ask]) -> dict[int, list[tuple[Chain, int]]]:
        """How many each prefix lacks, by how many it has."""
        missing: dict[int, list[tuple[Chain, int]]] = {}
        for ask in asks:
            have = len(self.log.of(ask.prefix.prefix_id))
            if have < ask.first + ask.count:
                lacks = (ask.prefix, ask.first + ask.count - have)
                missing.setdefault(have, []).append(lacks)
        return missing

    def _sample(self, first: int, window: Sequence[tuple[Chain, int]]) -> None:
        """One call, in which a prefix stands as often as it lacks rollouts."""
        prefixes = [prefix for prefix, count in window for _ in range(count)]
        sampling = replace(self.sampling, seed=_seed(self.sampling.seed, first), until="end")
        chains = [chain for [chain] in self.generator.sample(prefixes, 1, sampling)]
        verdicts = self.verifier.verify(chains)
        made = iter(
            Rollout(
                chain.steps[len(prefix.steps) :],
                verdict,
                chain.answer,
                None if chain.source is None else chain.source.num_tokens,
            )
            for prefix, chain, verdict in zip(prefixes, chains, verdicts, strict=True)
        )
        rows = [(prefix.prefix_id, tuple(next(made) for _ in range(n))) for prefix, n in window]
        self.log.add(rows)
        self.new_rollouts += len(prefixes)


def label_by_rollouts(
    machine: Asking, source: RolloutSource, progress: Progress | None = None
) -> None:
    """Ask and tell until nothing is asked."""
    while asks := machine.ask():
        machine.tell(asks, source.roll(asks, progress))


def is_settled(machine: Asking, log: RolloutLog) -> bool:
    """Whether a log has all rollouts that a machine asks for."""
    while asks := machine.ask():
        told = [log.of(ask.prefix.prefix_id)[ask.first : ask.first + ask.count] for ask in asks]
        if any(len(rollouts) < ask.count for ask, rollouts in zip(asks, told, strict=True)):
            return False
        machine.tell(asks, told)
    return True


def _prefix_ids(chain: Chain) -> list[str]:
    return [chain.problem.root_id, *(step.id for step in chain.steps)]


def _windows(missing: Sequence[tuple[Chain, int]], most: int) -> Iterator[list[tuple[Chain, int]]]:
    """Whole prefixes, about `most` rollouts at a time."""
    window: list[tuple[Chain, int]] = []
    size = 0
    for prefix, count in missing:
        if window and size + count > most:
            yield window
            window, size = [], 0
        window.append((prefix, count))
        size += count
    if window:
        yield window


def _seed(seed: int, first: int) -> int:
    """A seed of its own for rollouts that come behind others of their prefix."""
    digest = hashlib.blake2b(f"rollouts {seed} {first}".encode(), digest_size=4).digest()
    return int.from_bytes(digest)


def _check_header(line: bytes, path: Path, made_by: str) -> None:
    try:
        header = msgspec.json.decode(line, type=_Header)
    except msgspec.DecodeError as error:
        raise InputError("this is no log of rollouts", file=str(path), line=1) from error
    if header.rollouts_of != made_by:
        reason = "these are rollouts of another policy, sampling or verifier; choose another file"
        raise InputError(reason, file=str(path))


def _check_begun(header: bytes, path: Path) -> None:
    """A file without one whole line may only be the beginning of a log's header."""
    if not b'{"rollouts_of":'.startswith(header[:15]):
        raise InputError("this is no log of rollouts", file=str(path), line=1)


def _decode(line: bytes, path: Path, number: int) -> _Row:
    try:
        return msgspec.json.decode(line, type=_Row)
    except msgspec.DecodeError as error:
        reason = f"this is no row of rollouts ({error})"
        raise InputError(reason, file=str(path), line=number) from error
