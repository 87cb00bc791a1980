"""A study that another study begins with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rung.core import RungError

RECIPES = Path(__file__).resolve().parents[1]


def run_recipe(name: str, out: Path, *options: object) -> None:
    """Run another recipe into a folder, or go on there; what has ended stays.

    Raises:
        RungError: It failed; it has said why.
    """
    if (out / "results.json").is_file():
        return
    script = RECIPES / name / "run.py"
    command = [sys.executable, str(script), "--out", str(out), *map(str, options)]
    print(f"$ recipes/{name}/run.py --out {out}", file=sys.stderr, flush=True)
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise RungError(f"recipes/{name}, which this study begins with, failed in {out}")
