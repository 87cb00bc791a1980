"""A second try: PRM and ORM learn longer, from the policy's own chains alone. See README.md.

What `run.py` made is taken as it is: policy, labels and test chains. Stopped and run again, it
goes on where it was.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "first-error"))

import torch
from command import run_command
from labels import SOURCE
from measure import ORM, PRM, measured
from pages import made_by, write_results
from report import publish_again, tables_again
from verbs import rung

from rung.core import ChainRecord, RungError, read_records, write_records

LEARNING = ("--lr", "2e-4", "--batch-tokens", "512")
LEARNING += ("--validation-fraction", "0.1", "--patience", "0")
"""The PRM's and the ORM's alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The defaults are the second try of README.md."""

    made: Path = Path("real-llm")
    """What run.py made."""
    out: Path = Path("real-llm-again")
    """Where models, scores and results go."""
    epochs: int = 4
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: int = 1
    """Cores to use."""
    seed: int = 0
    publish: bool = False
    """Put what came out beside this file and into README.md."""


def main(again: Again) -> None:
    """Choose the chains, train, score, compare."""
    os.environ["OMP_NUM_THREADS"] = str(again.threads)
    torch.set_num_threads(again.threads)
    again.out.mkdir(parents=True, exist_ok=True)
    chains = again.out / "own.jsonl.gz"
    chosen = own_chains(list(read_records(again.made / "train-labeled.jsonl.gz")))
    if not chosen:
        raise RungError(f"{again.made}: the policy has no right chain to learn from")
    write_records(chains, chosen)
    trained = {kind: _train(again, kind, chains) for kind in (PRM, ORM)}
    records = _scored(again)
    results = {
        **made_by("recipes/real-llm/again.py"),
        "settings": {"epochs": again.epochs, "seed": again.seed},
        "reward_training": trained,
        "views": measured(records),
    }
    write_results(results, again.out / "results.json")
    print(tables_again(results))
    if again.publish:
        publish_again(results)


def own_chains(records: Sequence[ChainRecord]) -> list[ChainRecord]:
    """The policy's chains for problems of which it got at least one right, no reference solution.

    So who wrote a chain tells nothing, and every problem shows what sets right apart from wrong.
    """
    sampled = [r for r in records if r.chain.source and r.chain.source.policy != "reference"]
    won = {r.chain.problem.root_id for r in sampled if r.outcome and r.outcome.is_correct}
    return [record for record in sampled if record.chain.problem.root_id in won]


def _train(again: Again, kind: str, chains: Path) -> dict[str, Any]:
    """From the policy's weights; those with the lowest loss on held-out problems are kept."""
    how: list[Any] = [*LEARNING, "--epochs", again.epochs, "--precision", again.precision]
    how += ["--label-source", SOURCE] if kind == PRM else []
    told = ("--trunk", again.made / "policy", "--out", again.out / kind)
    return rung("train", kind, chains, *told, *how, "--seed", again.seed)


def _scored(again: Again) -> list[ChainRecord]:
    """The test chains with the scores of both models, and of no other."""
    checked = again.made / "test-checked.jsonl.gz"
    records = list(read_records(checked))
    for kind in (PRM, ORM):
        scored = again.out / f"test-{kind}.jsonl.gz"
        rung("score", checked, "--scorer", f"{kind}={again.out / kind}", "--out", scored)
        pairs = zip(records, read_records(scored), strict=True)
        records = [record.with_scores(other.scores[-1]) for record, other in pairs]
    return records


if __name__ == "__main__":
    run_command(main, Again, "real-llm-again", __doc__)
