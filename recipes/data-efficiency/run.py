"""How many labels a PRM and an ORM need, and whether chosen labels teach more. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

from cells import (
    CHOSEN,
    KINDS,
    RANDOM,
    Cell,
    choosing_job,
    draw,
    first,
    optimization,
    scoring_job,
    with_more,
)
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
    starts: tuple[int, ...] = (1_000, 2_000)
    """Chains of the PRMs that choose; each chooses as many more."""
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
    for run, start in product(runs, recipe.starts):
        draw(run, start, _places(recipe, run, RANDOM, start))
    _train(recipe, cells)
    cells += _chosen(recipe, runs)
    at_once({f"{run.name}: score": _scoring(recipe, run, cells) for run in runs})
    folders = [_folder(recipe, run) for run in runs]
    sizes = [
        size_row(runs, folders, count, recipe.ns, _epochs(recipe, runs, count))
        for count in (*recipe.chains, every)
    ]
    choices = [choice(runs, folders, start, recipe.ns) for start in recipe.starts]
    results = {
        **made_by("recipes/data-efficiency/run.py"),
        "seeds": [run.settings.seed for run in runs],
        "read": recipe.read,
        "sizes": sizes,
        "choices": choices,
        "claims": claims(sizes, choices),
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
    if max(*recipe.chains, *(2 * n for n in recipe.starts)) >= every:
        raise RungError(f"every number of chains must be below the quickstarts' own, {every}")
    if missing := set(recipe.starts) - set(recipe.chains):
        raise RungError(f"a PRM that chooses needs its own size: {min(missing)} in --chains")
    return every


def _cells(recipe: Recipe, run: LabRun, every: int) -> list[Cell]:
    """Those that nothing else must be there for."""
    return [
        *(
            Cell(run, kind, str(count), partial(first, run, count), count, _folder(recipe, run))
            for count in sorted((*recipe.chains, every), reverse=True)
            for kind in KINDS
        ),
        *(_added(recipe, run, RANDOM, start) for start in recipe.starts),
    ]


def _added(recipe: Recipe, run: LabRun, arm: str, start: int) -> Cell:
    chains = partial(with_more, run, start, _places(recipe, run, arm, start))
    return Cell(run, "prm", f"{arm}-{start}", chains, 2 * start, _folder(recipe, run))


def _chosen(recipe: Recipe, runs: Sequence[LabRun]) -> list[Cell]:
    """Those whose further chains a PRM chose; trained."""
    begun = product(runs, recipe.starts)
    at_once({f"{run.name}: choose {start}": _choosing(recipe, run, start) for run, start in begun})
    ways = product(runs, recipe.starts, CHOSEN)
    cells = [_added(recipe, run, arm, start) for run, start, arm in ways]
    _train(recipe, cells)
    return cells


def _train(recipe: Recipe, cells: Sequence[Cell]) -> None:
    trained = [cell for cell in cells if cell.is_trained_here]
    at_once({f"{cell.run.name}: {cell.scorer}": cell.job(recipe.read) for cell in trained})


def _choosing(recipe: Recipe, run: LabRun, start: int) -> Any:
    places = {arm: _places(recipe, run, arm, start) for arm in CHOSEN}
    return choosing_job(run, start, _folder(recipe, run) / f"prm-{start}", places)


def _scoring(recipe: Recipe, run: LabRun, cells: Sequence[Cell]) -> Any:
    scorers = {cell.scorer: cell.folder for cell in cells if cell.run == run}
    return scoring_job(run, scorers, _folder(recipe, run) / "scores")


def _folder(recipe: Recipe, run: LabRun) -> Path:
    """What belongs to one training: another length of it is another folder."""
    return recipe.out / f"{run.name}-{recipe.read}"


def _places(recipe: Recipe, run: LabRun, arm: str, start: int) -> Path:
    return _folder(recipe, run) / f"{arm}-{start}.json"


def _epochs(recipe: Recipe, runs: Sequence[LabRun], count: int) -> int:
    settings = runs[0].settings
    if count == settings.train_problems * settings.train_chains:
        return settings.prm.epochs
    return optimization(runs[0], "prm", count, recipe.read).epochs


if __name__ == "__main__":
    run_command(main, Recipe, "data-efficiency", __doc__)
