"""A PRM and an ORM rerank real models' GSM8K solutions. See README.md.

Needs the folder that `recipes/first-error` made: its PRM, its trunk and its chains. Stopped and
run again, it goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "common"))
sys.path.append(str(HERE.parent / "first-error"))  # the sibling recipe's helpers

from head import fit_head  # noqa: E402
from pages import put, write_results  # noqa: E402
from verbs import rung  # noqa: E402

from rung.core import ChainRecord, Skipped, read_records, write_records  # noqa: E402
from rung.data import load, problem_key, problem_keys  # noqa: E402

PRM, ORM = "prm", "orm"
POOLS = {
    "zeroeval": "bon_zeroeval_gsm8k_12models.jsonl.gz",
    "openai": "bon_gsm8k_openai_4.jsonl.gz",
}
"""Twelve open-weight models, one greedy solution each; four GPT-3 systems of 2021."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    data: Path = HERE.parents[2] / "shared" / "data"
    """The folder of the real data."""
    first_error: Path = Path("first-error")
    """What `recipes/first-error` made."""
    out: Path = Path("rerank-gsm8k")
    """Where the ORM, scores and results go."""
    num_problems: int | None = 100
    """Score these many problems, drawn by a hash of their text; None: all 1,319."""
    threads: int = 1
    """Cores to use."""
    publish: bool = False
    """Put what came out into results.json and README.md beside this file."""


def main(recipe: Recipe) -> None:
    """Train the ORM, score both pools with both models, measure."""
    os.environ["OMP_NUM_THREADS"] = str(recipe.threads)  # of the verbs
    torch.set_num_threads(recipe.threads)
    training = _train_orm(recipe)
    results = {
        "settings": {
            k: v for k, v in asdict(recipe).items() if not isinstance(v, Path) and k != "publish"
        },
        "orm_training": training,
        "pools": {name: _measure(recipe, name, file) for name, file in POOLS.items()},
    }
    write_results(results, recipe.out / "results.json")
    print(table(results))
    if recipe.publish:
        write_results(results, HERE / "results.json")
        put(HERE / "README.md", "results", table(results))


def _train_orm(recipe: Recipe) -> Any:
    """An ORM on the PRM's trunk, from the outcomes of the PRM's chains, fitted as the PRM is."""
    records = list(read_records(recipe.first_error / "chains" / "train.jsonl.gz"))
    return fit_head("orm", recipe.first_error / "trunk", records, recipe.out / ORM)


def _measure(recipe: Recipe, name: str, file: str) -> dict[str, Any]:
    """Score a pool's chains and compare all ways to pick among them."""
    skipped = Skipped()
    records = drawn(list(load(recipe.data / file, skipped=skipped)), recipe.num_problems)
    chains, scored = (recipe.out / f"{name}.{kind}.jsonl.gz" for kind in ("chains", "scored"))
    write_records(chains, records)
    models = (f"{PRM}={recipe.first_error / PRM}", f"{ORM}={recipe.out / ORM}")
    scorers = [word for model in models for word in ("--scorer", model)]
    rung("score", chains, *scorers, "--out", scored)
    found = rung("eval", "best-of-n", scored, "--prm", PRM, "--orm", ORM)
    return {**found, "unreadable_problems": skipped.count}


def drawn(records: Sequence[ChainRecord], num_problems: int | None) -> list[ChainRecord]:
    """The chains of so many problems: always the same ones, in every file."""
    keys = sorted(problem_keys(records), key=lambda key: hashlib.blake2b(key.encode()).digest())
    chosen = set(keys[:num_problems])
    return [r for r in records if problem_key(r.chain.problem.question) in chosen]


_RULES = ("random", "majority", "orm", "weighted_orm", "prm_min", "prm_product", "prm_mean")
_VOTES = ("weighted_prm_min", "weighted_prm_product", "oracle")
_GAPS = ("prm_min_minus_orm", "prm_min_minus_majority", "prm_product_minus_majority")


def table(results: Mapping[str, Any]) -> str:
    """Accuracy of each way to pick, with all chains of each pool."""
    pools = results["pools"]
    shown = [("curves", rule, "accuracy") for rule in (*_RULES, *_VOTES)]
    shown += [("gaps", gap, "difference") for gap in _GAPS]
    rows = [
        [name, *(_interval(pool[kind][name][-1], value) for pool in pools.values())]
        for kind, name, value in shown
    ]
    head = [f"{name}, N = {pool['ns'][-1]}" for name, pool in pools.items()]
    lines = [["picked by", *head], ["---"] * (1 + len(head)), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _interval(point: Mapping[str, float], value: str) -> str:
    mean, low, high = (100 * point[name] for name in (value, "low", "high"))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main(tyro.cli(Recipe, description=__doc__))
