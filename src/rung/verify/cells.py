"""What an agent's Python cells print, found out by running them again in a sandbox."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from importlib import resources

import msgspec

from rung.verify.sandbox import Sandbox, python_command
from rung.verify.supervise import Limits

START_S = 30.0
"""Seconds that a side may take to start, on a machine that is busy."""
_START = "import sys; sys.path.insert(0, '.')\nfrom rung.verify.box.cells import main\nmain()\n"


class Ran(msgspec.Struct, frozen=True):
    """What came of a cell."""

    output: str
    error: str | None = None
    """The exception's last line; "timeout" for a cell that took too long."""


def run_cells(sandbox: Sandbox, cells: Sequence[str], limit_s: float) -> list[Ran | None]:
    """Run cells one after the other in one namespace; None for those that were not reached.

    The cells have the standard library, no network and no files. What they report is their own
    word: a cell that sets out to can report another output, as it can print one.
    """
    task = {"cells": [cell.encode("utf-8", "replace").decode() for cell in cells]}
    name = "rung/verify/box/cells.py"
    files = {
        name: (resources.files("rung.verify.box") / "cells.py").read_bytes(),
        "cells.json": msgspec.json.encode({**task, "limit_s": limit_s}),
        "start.py": _START.encode(),
    }
    limits = Limits(wall_s=START_S + limit_s * len(cells))
    outcome = sandbox.run(files, python_command("start.py"), limits)
    ran: list[Ran | None] = []
    for line in outcome.stdout.split(b"\n")[: len(cells)]:
        with contextlib.suppress(msgspec.DecodeError, ValueError):
            ran.append(msgspec.json.decode(line, type=Ran))
    return [*ran, *[None] * (len(cells) - len(ran))]
