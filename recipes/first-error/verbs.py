"""Runs `rung` verbs as a person would, from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec


def rung(*arguments: str | Path) -> Any:
    """Run one verb with ``--json``, its progress on stderr; return its result.

    Raises:
        SystemExit: The verb failed; it has said why.
    """
    command = [str(Path(sys.executable).with_name("rung")), *map(str, arguments), "--json"]
    print("$", *command[:-1], file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return msgspec.json.decode(done.stdout)
