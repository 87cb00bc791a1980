"""Runs `rung` verbs as a person would, from Python."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any

import msgspec

from rung.cli.main import main


def rung(*arguments: str | Path | int) -> Any:
    """Run one verb with ``--json``, its progress on stderr; return its result.

    It runs in this process: to load torch and transformers again takes seconds a verb.

    Raises:
        SystemExit: The verb failed; it has said why.
    """
    words = [*map(str, arguments), "--json"]
    print("$ rung", *words[:-1], file=sys.stderr, flush=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(words)
    if code:
        raise SystemExit(code)
    return msgspec.json.decode(printed.getvalue())
