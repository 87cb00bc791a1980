"""Accuracy over tokens for every search, on the lab. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

import msgspec
import torch
import tyro
from command import run_command
from grid import GRIDS
from measure import Models, lines, measure
from pages import made_by
from report import publish, show, summarize

from rung.cli.search_lines import Lines
from rung.core.files import make_room, replacing


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md, from the quickstarts of seeds 0, 1 and 2."""

    quickstarts: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FOLDER ...")]
    """Folders of finished `rung quickstart` runs."""
    out: Path = Path("search")
    """Where logs and results go."""
    grid: Literal["whole", "small"] = "whole"
    """Which searches and sizes: small is for a real LM on a processor."""
    problems: int = 200
    """Fresh problems for each quickstart."""
    calibration: int = 200
    """More of them, to draw the lines for stopping and giving up."""
    publish: bool = False
    """Put what came out into results.json, README.md and the picture beside this file."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    torch.set_num_threads(1)
    rows: list[Any] = []
    base = GRIDS[recipe.grid]().base
    for folder in recipe.quickstarts:
        rows += _rows(recipe, folder)
    results = {
        **made_by("recipes/search/run.py"),
        "problems": recipe.problems,
        "quickstarts": len(recipe.quickstarts),
        "grid": recipe.grid,
        "base": base.name,
        "models": MODELS[recipe.grid],
        "picture_from": PICTURE_FROM[recipe.grid],
        "rows": summarize(rows, base.name),
    }
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
