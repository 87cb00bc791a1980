"""Replies kept by their content, so that none is paid for twice."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from rung.core.keyed_log import KeyedLog, KeyedRow
from rung.label.chat import Asked, Reply


class _Row(KeyedRow):
    model: str
    reply: Reply


def key_of(fingerprint: Any, asked: Asked) -> str:
    """Names a reply by all it depends on: model, sampling, conversation, number of the vote."""
    content = msgspec.json.encode([fingerprint, asked], order="deterministic")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


@dataclass(slots=True)
class ReplyLog:
    """Replies by key; without a file they are kept in memory."""

    _rows: KeyedLog[_Row] = field(default_factory=lambda: KeyedLog(_Row))

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Generator[ReplyLog]:
        """Go on with the log in a file, or begin one, as `KeyedLog.open`.

        Any number of runs, models and prompts may share it, one at a time.
        """
        with KeyedLog.open(path, _Row, "a judge's replies") as rows:
            yield cls(rows)

    def get(self, key: str) -> Reply | None:
        """The reply that was kept."""
        row = self._rows.get(key)
        return None if row is None else row.reply

    def put(self, key: str, model: str, reply: Reply) -> None:
        """Keep a reply; it outlives a kill from here on."""
        self._rows.put(_Row(key, model, reply))
