"""PRM against ORM and majority from 1 to 256 chains a problem, five seeds. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

import msgspec
from command import run_command
from lab_runs import LabRun, at_once, lab_runs, sampling_job, scored_by, training_job
from measure import measured
from pages import made_by, write_results
from report import publish, show

from rung.core import ChainRecord, read_records, write_records
from rung.loop.quickstart import Quickstart
from rung.train import RewardTraining

LEARNING_RATES = {
    "prm": (7e-4, 1.4e-3, 2.8e-3),
    "orm": (3.5e-4, 7e-4, 1.4e-3),
    "orm-tokens": (3.5e-4, 7e-4, 1.4e-3),
}
"""As many trials for each. The ranges are those in which docs/lab.md found the best."""
FRESH = 1_000
"""Added to a run's seed: the chains are others than those of its quickstart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    out: Path = Path("prm-vs-orm")
    """Where quickstarts, chains, scorers and results go."""
    quickstarts: tuple[Path, ...] = ()
    """Finished quickstarts of different seeds; without them they are made."""
    seeds: int = 5
    """Quickstarts that are made."""
    n: int = 256
    """The most chains a problem."""
    size: Quickstart = field(default_factory=Quickstart)
    """Of the quickstarts that are made; the seed is another for each."""
    publish: bool = False
    """Put what came out into results.json, README.md, docs/results.md and the picture."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    runs = lab_runs(recipe.quickstarts, recipe.out, recipe.seeds, recipe.size)
    trials = _tune(recipe, runs[0])
    rates = {kind: min(of_kind, key=lambda rate: of_kind[rate]) for kind, of_kind in trials.items()}
    jobs = {f"{run.name}: sample": _sampling(recipe, run) for run in runs}
    for run in runs:
        for kind, rate in rates.items():
            if _quickstarts(run, kind, rate) is None:
                jobs[f"{run.name}: {kind}"] = _training(recipe, run, kind, rate)
    at_once(jobs)
    scored = [_scored(recipe, run, rates) for run in runs]
    results = {
        **made_by("recipes/prm-vs-orm/run.py"),
        "seeds": [run.settings.seed for run in runs],
        "trials": {kind: list(of_kind.items()) for kind, of_kind in trials.items()},
        "epochs": runs[0].settings.prm.epochs,
        **measured(scored, recipe.n),
    }
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        publish(results)


def _tune(recipe: Recipe, run: LabRun) -> dict[str, dict[float, float]]:
    """Of each kind, the loss on the first run's held-out chains by learning rate."""
    at_once(
        {
            f"tune {kind}, {rate:g}": _training(recipe, run, kind, rate)
            for kind, rates in LEARNING_RATES.items()
            for rate in rates
            if _quickstarts(run, kind, rate) is None
        }
    )
    return {
        kind: {rate: _loss(_folder(recipe, run, kind, rate)) for rate in rates}
        for kind, rates in LEARNING_RATES.items()
    }


def _loss(folder: Path) -> float:
    return msgspec.json.decode((folder / "training.json").read_bytes())["validation_loss"]


def _folder(recipe: Recipe, run: LabRun, kind: str, rate: float) -> Path:
    """Where a run's scorer lies, or will lie."""
    made = recipe.out / run.name / f"{kind}-{rate:g}"
    return _quickstarts(run, kind, rate) or made


def _quickstarts(run: LabRun, kind: str, rate: float) -> Path | None:
    """The quickstart's own scorer, where it was trained like that."""
    settings = {"prm": run.settings.prm, "orm": run.settings.orm}.get(kind)
    return run.folder / kind if settings is not None and settings.lr == rate else None


def _training(recipe: Recipe, run: LabRun, kind: str, rate: float) -> Any:
    settings = run.settings
    how = replace(settings.prm if kind == "prm" else settings.orm, lr=rate, seed=settings.seed)
    training = RewardTraining(
        kind="prm" if kind == "prm" else "orm",
        trunk=run.folder / "policy",
        orm_targets="tokens" if kind == "orm-tokens" else "last",
        optimization=how,
    )
    chains = [partial(run.records, split) for split in ("train", "validation")]
    return training_job(training, *chains, _folder(recipe, run, kind, rate))


def _sampling(recipe: Recipe, run: LabRun) -> Any:
    return sampling_job(run, recipe.n, _chains(recipe, run), seed=FRESH + run.settings.seed)


def _chains(recipe: Recipe, run: LabRun) -> Path:
    return recipe.out / run.name / f"chains-{recipe.n}.jsonl.gz"


def _scored(recipe: Recipe, run: LabRun, rates: dict[str, float]) -> list[ChainRecord]:
    told = "-".join(f"{rate:g}" for rate in rates.values())
    file = recipe.out / run.name / f"scored-{recipe.n}-{told}.jsonl.gz"
    if not file.exists():
        scorers = {kind: _folder(recipe, run, kind, rate) for kind, rate in rates.items()}
        write_records(file, scored_by(list(read_records(_chains(recipe, run))), scorers))
    return list(read_records(file))


if __name__ == "__main__":
    run_command(main, Recipe, "prm-vs-orm", __doc__)
