"""Ways to make one number of step scores: what they pick, and which lean to length. See README.md.

Begins with `recipes/real-samples`, for the PRM from people's labels. Stopped and run again, it goes
on where it was.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

from bias import accuracies, leanings
from command import run_command
from earlier import run_recipe
from lab_labels import SOURCES, LabStudy, make
from lab_runs import LabRun, lab_runs
from pages import made_by, write_results
from tables import claims, publish, show

from rung.core import ChainRecord, RungError, read_records
from rung.loop.quickstart import Quickstart

HUMAN = ("gsm8k-12", "gsm8k-4", "math-8")
"""Pools of real samples that the PRM from people's labels has scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    out: Path = Path("aggregation")
    """Where quickstarts, chains, PRMs and results go."""
    quickstarts: tuple[Path, ...] = ()
    """Finished quickstarts of different seeds; without them they are made."""
    seeds: int = 5
    """Quickstarts that are made."""
    size: Quickstart = field(default_factory=Quickstart)
    """Of the quickstarts that are made; the seed is another for each."""
    chains: int = 4_000
    """Training chains that verifier and rollouts label."""
    epochs: int = 10
    """Over them."""
    real_samples: Path | None = None
    """What `recipes/real-samples` made; without it that is run first."""
    publish: bool = False
    """Put what came out into results.json, README.md, docs/results.md and the picture."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    real_samples = recipe.real_samples or recipe.out / "real-samples"
    if recipe.real_samples is None:
        run_recipe("real-samples", real_samples)
    human = {name: real_samples / "scored" / f"{name}.jsonl.gz" for name in HUMAN}
    for file in human.values():
        if not file.is_file():
            raise RungError(
                f"{file} is not there; recipes/real-samples/run.py makes it, and --real-samples"
                " names its folder"
            )
    runs = lab_runs(recipe.quickstarts, recipe.out, recipe.seeds, recipe.size)
    study = LabStudy(recipe.out, recipe.chains, recipe.epochs)
    make(study, runs)
    parts = [*_of_lab(study, runs), *(_human(name, file) for name, file in human.items())]
    results = {
        **made_by("recipes/aggregation/run.py"),
        "seeds": [run.settings.seed for run in runs],
        "chains": recipe.chains,
        "epochs": recipe.epochs,
        "parts": parts,
        "claims": claims(parts),
    }
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        publish(results)


def _of_lab(study: LabStudy, runs: Sequence[LabRun]) -> Iterator[dict[str, Any]]:
    """The quickstarts' own PRMs on chains of one length, then each source on longer ones."""
    yield _part("quickstart", [run.records("scored") for run in runs], "prm")
    scored = [study.scored(run) for run in runs]
    for name in SOURCES.values():
        yield _part(name, scored, name)


def _human(name: str, file: Path) -> dict[str, Any]:
    return _part(f"human, {name}", [list(read_records(file))], "prm")


def _part(name: str, runs: Sequence[Sequence[ChainRecord]], scorer: str) -> dict[str, Any]:
    """What is measured of one source of labels; chains of one length have no leaning."""
    chains = [
        Counter(r.chain.problem.root_id for r in run if r.outcome is not None) for run in runs
    ]
    most = min(min(of_run.values()) for of_run in chains)
    ns = [*(2**k for k in range((most - 1).bit_length())), most]
    return {
        "labels": name,
        "num_problems": sum(map(len, chains)),
        "ns": ns,
        "accuracy": accuracies(runs, scorer, ns),
        "leaning": leanings(runs, scorer) if name != "quickstart" else None,
    }


if __name__ == "__main__":
    run_command(main, Recipe, "aggregation", __doc__)
