"""Accuracy over tokens for every search, on the lab. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

import msgspec
import torch
from command import run_command
from grid import GRIDS
from lab_runs import lab_runs
from measure import Models, lines, measure
from pages import made_by, write_results
from report import publish, show, summarize

from rung.cli.search_lines import Lines
from rung.core.files import make_room, replacing
from rung.loop.quickstart import Quickstart


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    out: Path = Path("search")
    """Where quickstarts, logs and results go."""
    quickstarts: tuple[Path, ...] = ()
    """Finished quickstarts of different seeds; without them they are made."""
    seeds: int = 5
    """Quickstarts that are made."""
    size: Quickstart = field(default_factory=Quickstart)
    """Of the quickstarts that are made; the seed is another for each."""
    grid: Literal["whole", "small"] = "whole"
    """Which searches and sizes: small is for a real LM on a processor."""
    problems: int = 200
    """Fresh problems for each quickstart."""
    calibration: int = 200
    """More of them, to draw the lines for stopping and giving up."""
    publish: bool = False
    """Put what came out into results.json, README.md, docs/results.md and the picture."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    made = () if recipe.quickstarts else lab_runs((), recipe.out, recipe.seeds, recipe.size)
    folders = recipe.quickstarts or [run.folder for run in made]
    torch.set_num_threads(1)
    base = GRIDS[recipe.grid]().base
    rows = [row for folder in folders for row in _rows(recipe, folder)]
    results = {
        **made_by("recipes/search/run.py"),
        "problems": recipe.problems,
        "quickstarts": len(folders),
        "grid": recipe.grid,
        "base": base.name,
        "models": MODELS[recipe.grid],
        "picture_from": PICTURE_FROM[recipe.grid],
        "rows": summarize(rows, base.name),
    }
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        publish(results)


def _rows(recipe: Recipe, folder: Path) -> list[Any]:
    """The cells of one quickstart; those that are there already are read."""
    models = Models.open(folder, recipe.problems, recipe.calibration)
    grid, drawn, rows = GRIDS[recipe.grid](), dict[tuple[str, bool], Lines](), list[Any]()
    for cell in grid.cells:
        name = f"{recipe.problems}-{recipe.calibration} {cell.name}".replace(" ", "-")
        path = recipe.out / folder.name / f"{name}.json"
        if not path.exists():
            make_room(path)
            kept = recipe.out / folder.name
            log = kept / f"calibration-{recipe.calibration}.events"
            used = TRUTH
            if cell.is_calibrated:
                key = (cell.scorer, cell.look_every is not None)
                used = drawn[key] = drawn.get(key) or lines(models, grid, cell, log)
            row = measure(models, cell, used, kept / f"{cell.scorer}.events")
            with replacing(path) as aside:
                aside.write_bytes(msgspec.json.encode(row))
        rows.append(msgspec.json.decode(path.read_bytes()))
        right = sum(rows[-1]["right"]) / recipe.problems
        said = f"{folder.name}: {cell.name}: {right:.3f} in {rows[-1]['seconds']} s"
        print(said, file=sys.stderr, flush=True)
    return rows


MODELS = {"whole": "quickstarts", "small": "SmolLM2-135M, fine-tuned,"}
PICTURE_FROM = {"whole": 0.4, "small": 0.2}
"""The least accuracy that the picture has room for."""
TRUTH = Lines(enough=0.5, below=0.5)
"""The lines for the oracle."""


if __name__ == "__main__":
    run_command(main, Recipe, "search", __doc__)
