"""Rows kept in a file by their keys, so that what one run has paid for the next one finds."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Generic, TypeVar

import msgspec

from rung.core.errors import InputError
from rung.core.files import claim, make_room
from rung.core.urls import growing


class KeyedRow(msgspec.Struct):
    """A row; its other fields stand behind the key."""

    key: str


R = TypeVar("R", bound=KeyedRow)


@dataclass(slots=True)
class KeyedLog(Generic[R]):
    """Rows by key. In memory stands only where in the file each begins."""

    _kind: type[R]
    _file: IO[bytes] | None = None
    _places: dict[str, int] = field(default_factory=dict[str, int])
    _kept: dict[str, R] = field(default_factory=dict[str, R])

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path, kind: type[R], what: str) -> Generator[KeyedLog[R]]:
        """Go on with the log in a file, or begin one. It is only ever appended to.

        Any number of runs may share it, one at a time. Half a row, left by a kill, is passed over.

        Args:
            path: JSONL.
            kind: What a row is.
            what: The rows in words, for an error.

        Raises:
            InputError: The file holds something else.
            RungError: Another run is writing there.
        """
        make_room(path)
        with growing(path) as here, open(here, "a+b") as stream:
            claim(stream, here)
            log = cls(kind, stream)
            log._read(stream, here, what)
            yield log

    def get(self, key: str) -> R | None:
        """The row that was kept."""
        if self._file is None or key not in self._places:
            return self._kept.get(key)
        self._file.seek(self._places[key])
        return msgspec.json.decode(self._file.readline(), type=self._kind)

    def put(self, row: R) -> None:
        """Keep a row; it outlives a kill from here on."""
        if self._file is None:
            self._kept[row.key] = row
            return
        self._places[row.key] = self._file.seek(0, 2)
        self._file.write(msgspec.json.encode(row) + b"\n")
        self._file.flush()

    def _read(self, stream: IO[bytes], path: Path, what: str) -> None:
        stream.seek(0)
        position, line = 0, b"\n"
        for number, line in enumerate(stream, start=1):
            try:
                self._places[msgspec.json.decode(line, type=self._kind).key] = position
            except msgspec.DecodeError as error:
                if not b'{"key":'.startswith(line[:7].rstrip(b"\n")):
                    reason = f"this is no log of {what}"
                    raise InputError(reason, file=str(path), line=number) from error
            position += len(line)
        if not line.endswith(b"\n"):
            stream.write(b"\n")
            stream.flush()
