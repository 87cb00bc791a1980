"""How many labels a PRM and an ORM need, and whether chosen labels teach more. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

from cells import KINDS, Cell, choosing_job, draw, first, optimization, scoring_job, with_more
from command import run_command
from lab_runs import LabRun, at_once, lab_runs
from measure import choice, claims, size_row
from pages import made_by, write_results
from report import publish, show

from rung.core import RungError
from rung.loop.quickstart import Quickstart


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    out: Path = Path("data-efficiency")
    """Where quickstarts, scorers, scores and results go."""
    quickstarts: tuple[Path, ...] = ()
    """Finished quickstarts of different seeds; without them they are made."""
    seeds: int = 5
    """Quickstarts that are made."""
    chains: tuple[int, ...] = (250, 500, 1_000, 2_000, 4_000, 8_000)
    """How many chains are labeled; all of the quickstart's follow by themselves."""
    read: int = 20_000
    """Chains that a training reads at least, over its epochs."""
    start: int = 1_000
    """Chains of the PRM that chooses."""
    more: int = 1_000
    """Chains that it chooses."""
    ns: tuple[int, ...] = (16, 64)
    """Chains a problem that are picked from."""
    size: Quickstart = field(default_factory=Quickstart)
    """Of the quickstarts that are made; the seed is another for each."""
    publish: bool = False
    """Put what came out into results.json, README.md, docs/results.md and the pictures."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    runs = lab_runs(recipe.quickstarts, recipe.out, recipe.seeds, recipe.size)
    every = _num_chains(recipe, runs)
    cells = [cell for run in runs for cell in _cells(recipe, run, every)]
    for run in runs:
        draw(run, recipe.start, recipe.more, _places(recipe, run, "random"))
    _train(recipe, cells)
    at_once({f"{run.name}: choose": _choosing(recipe, run) for run in runs})
    chosen = [_chosen(recipe, run, "active") for run in runs]
    _train(recipe, chosen)
    cells += chosen
    at_once({f"{run.name}: score": _scoring(recipe, run, cells) for run in runs})
    folders = [_folder(recipe, run) for run in runs]
    sizes = [
        size_row(runs, folders, count, recipe.ns, _epochs(recipe, runs, count))
        for count in (*recipe.chains, every)
    ]
    chosen_row = choice(runs, folders, (recipe.start, recipe.more), recipe.ns)
    results = {
        **made_by("recipes/data-efficiency/run.py"),
        "seeds": [run.settings.seed for run in runs],
        "read": recipe.read,
        "sizes": sizes,
        "choice": chosen_row,
        "claims": claims(sizes, chosen_row),
    }
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        publish(results)


def _num_chains(recipe: Recipe, runs: Sequence[LabRun]) -> int:
    """All training chains of a quickstart.

    Raises:
        RungError: The quickstarts differ, or have too few chains for the study.
    """
    found = {run.settings.train_problems * run.settings.train_chains for run in runs}
    if len(found) > 1:
        raise RungError("the quickstarts have different numbers of training chains")
    (every,) = found
    if max(*recipe.chains, recipe.start + recipe.more) > every or every in recipe.chains:
        raise RungError(f"every number of chains must be below the quickstarts' own, {every}")
    if recipe.start not in recipe.chains:
        raise RungError(f"the PRM that chooses needs its own size: {recipe.start} in --chains")
    return every


def _cells(recipe: Recipe, run: LabRun, every: int) -> list[Cell]:
    """Those that nothing else must be there for."""
    return [
        *(
            Cell(run, kind, str(count), partial(first, run, count), count, _folder(recipe, run))
            for count in sorted((*recipe.chains, every), reverse=True)
            for kind in KINDS
        ),
        _chosen(recipe, run, "random"),
    ]


def _chosen(recipe: Recipe, run: LabRun, name: str) -> Cell:
    places = _places(recipe, run, name)
    chains = partial(with_more, run, recipe.start, places)
    return Cell(run, "prm", name, chains, recipe.start + recipe.more, _folder(recipe, run))


def _train(recipe: Recipe, cells: Sequence[Cell]) -> None:
    trained = [cell for cell in cells if cell.is_trained_here]
    at_once({f"{cell.run.name}: {cell.scorer}": cell.job(recipe.read) for cell in trained})


def _choosing(recipe: Recipe, run: LabRun) -> Any:
    scorer = _folder(recipe, run) / f"prm-{recipe.start}"
    places = _places(recipe, run, "active")
    return choosing_job(run, recipe.start, recipe.more, scorer, places)


def _scoring(recipe: Recipe, run: LabRun, cells: Sequence[Cell]) -> Any:
    scorers = {cell.scorer: cell.folder for cell in cells if cell.run == run}
    return scoring_job(run, scorers, _folder(recipe, run) / "scores")


def _folder(recipe: Recipe, run: LabRun) -> Path:
    """What belongs to one training: another size of it or of the study is another folder."""
    return recipe.out / f"{run.name}-{recipe.read}-{recipe.start}-{recipe.more}"


def _places(recipe: Recipe, run: LabRun, name: str) -> Path:
    return _folder(recipe, run) / f"{name}.json"


def _epochs(recipe: Recipe, runs: Sequence[LabRun], count: int) -> int:
    settings = runs[0].settings
    if count == settings.train_problems * settings.train_chains:
        return settings.prm.epochs
    return optimization(runs[0], "prm", count, recipe.read).epochs


if __name__ == "__main__":
    run_command(main, Recipe, "data-efficiency", __doc__)
