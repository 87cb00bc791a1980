"""What a calculator adds to a PRM, an ORM and a vote, where chains are picked. See README.md.

Quickstarts, of the lab and of one whose verbs are misread, are made where they are not given.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

import msgspec
from command import run_command
from lab_runs import lab_runs
from pages import made_by, write_results
from report import publish, show

from rung.core import ChainRecord, RungError, read_records
from rung.data import load
from rung.eval import BestOfN, best_of_n_over_seeds
from rung.eval.choose import choose_prm_and_orm
from rung.eval.expected import VERIFIED
from rung.label import ArithmeticLabeler
from rung.loop.quickstart import Quickstart
from rung.verify.calculator import Calculator

RECIPES = Path(__file__).resolve().parents[1]
SMOLLM2 = RECIPES / "real-llm" / "samples.jsonl.gz"
PUBLISHED = {
    "GSM8K, 12 models": "bon_zeroeval_gsm8k_12models.jsonl.gz",
    "GSM8K, 4 systems of 2021": "bon_gsm8k_openai_4.jsonl.gz",
    "MATH, Qwen2.5-Math": "bon_math100_qwen_rm8.jsonl.gz",
}
"""Solutions that others have published, the last with the scores of a reward model."""
VERIFIER = ArithmeticLabeler().source
RULES = ("random", "majority", "orm", "weighted_orm", "prm_min", "weighted_prm_min", "oracle")
"""The curves that are kept, each with its twin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    out: Path = Path("with-verifier")
    """Where quickstarts and results go."""
    quickstarts: tuple[Path, ...] = ()
    """Finished quickstarts of different seeds; without them they are made."""
    misread: tuple[Path, ...] = ()
    """The same of a lab whose demonstrator misreads verbs in place of misreckoning."""
    seeds: int = 5
    """Quickstarts that are made."""
    size: Quickstart = field(default_factory=Quickstart)
    """Of the quickstarts that are made; the seed is another for each."""
    data: Path = RECIPES.parents[1] / "shared" / "data"
    """The folder of the real data; sets of it that are not there are left out."""
    publish: bool = False
    """Put what came out into results.json, README.md, docs/results.md and the picture."""


class Pool(NamedTuple):
    """Chains of one origin, of one or more trainings."""

    name: str
    runs: list[list[ChainRecord]]


def main(recipe: Recipe) -> None:
    """Check every chain's equations, and pick with and without what they say."""
    recipe.out.mkdir(parents=True, exist_ok=True)
    with Calculator() as calculator:
        labeler = ArithmeticLabeler(checker=calculator)
        rows = [_row(pool, labeler) for pool in _pools(recipe)]
    results = {**made_by("recipes/with-verifier/run.py"), "pools": rows}
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        _all_there(recipe)
        publish(results)


def _pools(recipe: Recipe) -> Iterator[Pool]:
    runs = lab_runs(recipe.quickstarts, recipe.out, recipe.seeds, recipe.size)
    yield Pool("the lab", [run.records("scored") for run in runs])
    lab = replace(recipe.size.lab, misconceived_share=0.0, misread_share=0.5)
    size, folder = replace(recipe.size, lab=lab), recipe.out / "misread"
    runs = lab_runs(recipe.misread, folder, recipe.seeds, size)
    yield Pool("the lab, verbs misread", [run.records("scored") for run in runs])
    yield Pool("GSM8K, SmolLM2-135M", [list(read_records(SMOLLM2))])
    for name, file in PUBLISHED.items():
        if (recipe.data / file).is_file():
            yield Pool(name, [list(load(recipe.data / file))])
        else:
            print(f"{name}: left out, there is no {file} in {recipe.data}", file=sys.stderr)


def _all_there(recipe: Recipe) -> None:
    missing = [file for file in PUBLISHED.values() if not (recipe.data / file).is_file()]
    if missing:
        raise RungError(f"not published: {recipe.data} lacks {', '.join(missing)}")


def _row(pool: Pool, labeler: ArithmeticLabeler) -> dict[str, Any]:
    """What is kept of one pool's curves."""
    print(pool.name, file=sys.stderr, flush=True)
    runs = [_checked(records, labeler) for records in pool.runs]
    prm, orm = choose_prm_and_orm(runs[0], None, None)
    found = best_of_n_over_seeds(runs, prm=prm, orm=orm, verifier=VERIFIER)
    rules = [rule for rule in RULES if rule in found.curves]
    return {
        "pool": pool.name,
        "problems": found.num_problems,
        "pass_at_1": found.pass_at_1,
        "chains": msgspec.to_builtins(found.chains),
        "ns": found.ns,
        "rules": {rule: _with_and_without(found, rule) for rule in rules},
        "prm_minus_orm": _leads(found) if prm is not None and orm is not None else None,
    }


def _checked(records: Sequence[ChainRecord], labeler: ArithmeticLabeler) -> list[ChainRecord]:
    labels = labeler.label([record.chain for record in records])
    return [record.with_labels(y) for record, y in zip(records, labels, strict=True)]


def _with_and_without(found: BestOfN, rule: str) -> dict[str, Any]:
    twin = VERIFIED + rule
    kept = {
        "alone": found.curves[rule],
        "verified": found.curves[twin],
        "gain": found.gaps[f"{twin}_minus_{rule}"],
    }
    return dict(msgspec.to_builtins(kept))


def _leads(found: BestOfN) -> dict[str, Any]:
    kept = {
        "alone": found.gaps["prm_min_minus_orm"],
        "verified": found.gaps[f"{VERIFIED}prm_min_minus_{VERIFIED}orm"],
    }
    return dict(msgspec.to_builtins(kept))


if __name__ == "__main__":
    run_command(main, Recipe, "with-verifier", __doc__)
