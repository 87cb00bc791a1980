"""Replies kept by their content, so that none is paid for twice."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from rung.core.errors import InputError
from rung.core.files import claim, make_room
from rung.core.urls import growing
from rung.label.chat import Asked, Reply


class _Row(msgspec.Struct):
    key: str
    model: str
    reply: Reply


def key_of(fingerprint: Any, asked: Asked) -> str:
    """Names a reply by all it depends on: model, sampling, conversation, number of the vote."""
    content = msgspec.json.encode([fingerprint, asked], order="deterministic")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


@dataclass(slots=True)
class ReplyLog:
    """Replies by key. In memory stands only where in the file each begins."""

    _file: IO[bytes] | None = None
    _places: dict[str, int] = field(default_factory=dict[str, int])
    _kept: dict[str, Reply] = field(default_factory=dict[str, Reply])

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Generator[ReplyLog]:
        """Go on with the log in a file, or begin one. It is only ever appended to.

        Any number of runs, models and prompts may share it, one at a time. Half a row, left by a
        kill, is passed over.

        Raises:
            InputError: The file holds something else.
            RungError: Another run is writing there.
        """
        make_room(path)
        with growing(path) as here, open(here, "a+b") as stream:
            claim(stream, here)
            log = cls(stream)
            log._read(here)
            yield log

    def get(self, key: str) -> Reply | None:
        """The reply that was kept."""
        if self._file is None or key not in self._places:
            return self._kept.get(key)
        self._file.seek(self._places[key])
        return msgspec.json.decode(self._file.readline(), type=_Row).reply

    def put(self, key: str, model: str, reply: Reply) -> None:
        """Keep a reply; it outlives a kill from here on."""
        if self._file is None:
            self._kept[key] = reply
            return
        self._places[key] = self._file.seek(0, 2)
        self._file.write(msgspec.json.encode(_Row(key, model, reply)) + b"\n")
        self._file.flush()

    def _read(self, path: Path) -> None:
        assert self._file is not None
        self._file.seek(0)
        position, line = 0, b"\n"
        for number, line in enumerate(self._file, start=1):
            try:
                self._places[msgspec.json.decode(line, type=_Row).key] = position
            except msgspec.DecodeError as error:
                if not b'{"key":'.startswith(line[:7].rstrip(b"\n")):
                    reason = "this is no log of a judge's replies"
                    raise InputError(reason, file=str(path), line=number) from error
            position += len(line)
        if not line.endswith(b"\n"):
            self._file.write(b"\n")
            self._file.flush()
