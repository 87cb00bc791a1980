"""A PRM and an ORM rerank real models' published solutions of GSM8K and MATH. See README.md.

Begins with `recipes/first-error`: its PRM, its trunk and its chains. Stopped and run again, it goes
on where it was.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "first-error"))

import torch
from command import run_command
from compare import ORM, PRM, claims, compared
from earlier import run_recipe
from head import fit_head
from pages import made_by, write_results
from report import publish, show
from verbs import rung

from rung.core import ChainRecord, RungError, Skipped, read_records, write_records
from rung.data import load, problem_key, problem_keys
from rung.model import weights_hash

POOLS = {
    "gsm8k-12": "bon_zeroeval_gsm8k_12models.jsonl.gz",
    "gsm8k-4": "bon_gsm8k_openai_4.jsonl.gz",
    "math-8": "bon_math100_qwen_rm8.jsonl.gz",
}
"""On GSM8K twelve open-weight models, one greedy solution each, and four GPT-3 systems of 2021; on
MATH eight samples of Qwen2.5-Math, with the scores of a published reward model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    data: Path = Path(__file__).resolve().parents[3] / "shared" / "data"
    """The folder of the real data."""
    first_error: Path | None = None
    """What `recipes/first-error` made; without it that is run first."""
    out: Path = Path("real-samples")
    """Where what first-error makes, the ORM, scores and results go."""
    num_problems: int | None = 100
    """Score these many problems of a pool, drawn by a hash of their text; None: all of them."""
    threads: int = 1
    """Cores to use."""
    publish: bool = False
    """Put what came out into results.json, README.md, docs/results.md and the pictures."""


def main(recipe: Recipe) -> None:
    """Train the ORM, score every pool with both models, measure."""
    os.environ["OMP_NUM_THREADS"] = str(recipe.threads)  # of the verbs
    torch.set_num_threads(recipe.threads)
    first_error = _first_error(recipe)
    training = _train_orm(recipe, first_error)
    pools = {name: _measure(recipe, first_error, name, file) for name, file in POOLS.items()}
    results = {
        **made_by("recipes/real-samples/run.py"),
        "settings": {
            name: value
            for name, value in asdict(recipe).items()
            if name not in ("data", "first_error", "out", "publish")
        },
        "orm_training": training,
        "pools": pools,
        "claims": claims(pools),
    }
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        publish(results)


def _first_error(recipe: Recipe) -> Path:
    """The folder of a finished run of first-error.

    Raises:
        RungError: It is not there, or can't be made.
    """
    if not recipe.data.is_dir():
        raise RungError(f"there is no folder {recipe.data} with the real data; --data names it")
    folder = recipe.first_error or recipe.out / "first-error"
    if recipe.first_error is None:
        run_recipe("first-error", folder, "--data", recipe.data, "--threads", recipe.threads)
    for name in (PRM, "trunk", "chains"):
        if not (folder / name).is_dir():
            raise RungError(
                f"{folder} holds no {name}, as a run of recipes/first-error does;"
                " --first-error names its folder"
            )
    return folder


def _train_orm(recipe: Recipe, first_error: Path) -> Any:
    """An ORM on the PRM's trunk, from the outcomes of the PRM's chains, fitted as the PRM is."""
    records = list(read_records(first_error / "chains" / "train.jsonl.gz"))
    return fit_head("orm", first_error / "trunk", records, recipe.out / ORM)


def _measure(recipe: Recipe, first_error: Path, name: str, file: str) -> dict[str, Any]:
    """Score a pool's chains and compare all ways to pick among them."""
    skipped = Skipped()
    records = drawn(list(load(recipe.data / file, skipped=skipped)), recipe.num_problems)
    chains, scored = (recipe.out / kind / f"{name}.jsonl.gz" for kind in ("chains", "scored"))
    models = {PRM: first_error / PRM, ORM: recipe.out / ORM}
    if not _is_scored(scored, records, models):
        write_records(chains, records)
        scorers = [w for name, model in models.items() for w in ("--scorer", f"{name}={model}")]
        rung("score", chains, *scorers, "--out", scored)
    return {**compared(list(read_records(scored))), "unreadable_problems": skipped.count}


def _is_scored(scored: Path, records: Sequence[ChainRecord], models: Mapping[str, Path]) -> bool:
    """Whether a file has these chains with the scores of these models."""
    if not scored.is_file():
        return False
    wanted = {(name, weights_hash(model)) for name, model in models.items()}
    found = list(read_records(scored))
    return [one.chain.id for one in found] == [one.chain.id for one in records] and all(
        wanted <= {(s.scorer, s.weights_hash) for s in one.scores} for one in found
    )


def drawn(records: Sequence[ChainRecord], num_problems: int | None) -> list[ChainRecord]:
    """The chains of so many problems: always the same ones, in every file."""
    keys = sorted(problem_keys(records), key=lambda key: hashlib.blake2b(key.encode()).digest())
    chosen = set(keys[:num_problems])
    return [r for r in records if problem_key(r.chain.problem.question) in chosen]


if __name__ == "__main__":
    run_command(main, Recipe, "real-samples", __doc__)
