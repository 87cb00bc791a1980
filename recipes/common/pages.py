"""What every recipe does with its results: keep them, and put their tables into pages.

A recipe puts this folder into `sys.path`. No number in a page is typed by hand.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from machine import processor

from rung.core.files import replacing

ROOT = Path(__file__).resolve().parents[2]
RESULTS_PAGE = ROOT / "docs" / "results.md"
IMAGES = ROOT / "docs" / "images"


def made_by(script: str) -> dict[str, str]:
    """The command line that runs, with folders' names alone, the day and the machine.

    Keys of a result; `made` says them.
    """
    words = [word if word.startswith("-") else Path(word).name for word in sys.argv[1:]]
    cores = len(os.sched_getaffinity(0))
    return {
        "command": shlex.join(["python", script, *words]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{processor()}, {cores} {'core' if cores == 1 else 'cores'}",
    }


def made(results: Mapping[str, Any]) -> str:
    """How a result was made, as a sentence. Old results do not say on which machine."""
    machine = results.get("machine", "machine not recorded")
    return f"Made by `{results['command']}` on {results['date']} ({machine})."


def write_results(results: Mapping[str, Any], file: Path) -> None:
    """Write results as indented JSON, in one piece."""
    with replacing(file) as aside:
        told = msgspec.json.encode(results)
        aside.write_bytes(msgspec.json.format(told, indent=1) + b"\n")


def put(page: Path, name: str, shown: str) -> None:
    """Put text between a page's marks `<!-- NAME: begin -->` and `<!-- NAME: end -->`.

    Raises:
        ValueError: The page has no such marks.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page.name} has no part {name!r}")
    with replacing(page) as aside:
        aside.write_text(f"{before}{begin}\n{shown}\n{end}{after}", encoding="utf-8")


def image(name: str, said: str, page: Path) -> str:
    """A link from a page to one of the pictures, with what it shows."""
    return f"![{said}]({os.path.relpath(IMAGES / f'{name}.svg', page.parent)})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(share: float, digits: int = 1) -> str:
    """A share as a number of percent."""
    return f"{100 * share:.{digits}f}"


def interval(
    found: Mapping[str, float], *, of: str = "value", sign: str = "", digits: int = 1
) -> str:
    """A share with its interval, in percent."""
    value, low, high = (f"{100 * found[key]:{sign}z.{digits}f}" for key in (of, "low", "high"))
    return f"{value} [{low}, {high}]"


def points(gap: Mapping[str, float]) -> str:
    """A difference of shares with its interval, in points."""
    return interval(gap, of="difference", sign="+")


def holds(claim: Mapping[str, Any]) -> str:
    """Whether a claim does; what does not is to be seen."""
    return "yes" if claim["holds"] else "**no**"
