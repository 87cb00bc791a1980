"""What a server's policy has written, kept request by request.

A call of a verb writes hundreds of chains together. Where the server fails for one of them, or
the run is killed, the others are there: the same command finds them, and asks for the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from rung.core.keyed_log import KeyedLog, KeyedRow
from rung.generate.prompting import Written


class _Row(KeyedRow):
    written: Written


def key_of(asked: Any) -> str:
    """Names what was written by all it depends on."""
    content = msgspec.json.encode(asked, order="deterministic")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class WrittenLog:
    """Continuations by key, in a file. For one thread."""

    _rows: KeyedLog[_Row]

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Generator[WrittenLog]:
        """Go on with the log in a file, or begin one, as `KeyedLog.open`."""
        with KeyedLog.open(path, _Row, "what a policy has written") as rows:
            yield cls(rows)

    def get(self, key: str) -> Written | None:
        """What was written."""
        row = self._rows.get(key)
        return None if row is None else row.written

    def put(self, key: str, written: Written) -> None:
        """Keep what was written; it outlives a kill from here on."""
        self._rows.put(_Row(key, written))
