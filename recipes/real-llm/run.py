"""A PRM against an ORM on a real LM and real problems: SmolLM2-135M on GSM8K. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "first-error"))

import torch
from command import run_command
from labels import SOURCE, with_step_labels
from measure import ORM, PRM, RULE, curves, measured
from pages import made_by, write_results
from problems import demonstrations, test_problems, value_of
from report import publish, publish_second_run, tables
from samples import compact
from sizes import SIZES
from verbs import rung

from rung.core import ChainRecord, Problem, read_records, write_problems, write_records
from rung.eval import write_curves_svg
from rung.loop.stages import Stages

HERE = Path(__file__).resolve().parent
MAX_TOKENS = 100
"""Of a sampled chain; a reference solution's equations take 36 on average."""
SAMPLING = ("--temperature", "0.7", "--max-tokens", MAX_TOKENS)
POLICY = ("--lr", "3e-4", "--batch-tokens", "2048")
REWARD = ("--lr", "2e-4", "--batch-tokens", "1024")
"""The PRM's and the ORM's alike."""
ONE_PROBLEM, MANY_PROBLEMS = 64, 256
"""Chains written together: a problem's own, if they are so many, or those of several."""
_NOT_SETTINGS = ("data", "out", "publish", "publish_second_run", "threads")
TO_THE_END = ("--validation-fraction", "0", "--patience", "0")
"""No chains are held out: nothing is chosen by them, and each costs time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    data: Path = HERE.parents[2] / "shared" / "data"
    """The folder of the real data."""
    out: Path = Path("real-llm")
    """Where models, chains, scores and results go."""
    trunk: str = "smollm2"
    """A causal LM to begin with."""
    size: Literal["smoke", "small", "full"] = "small"
    """How much is trained, sampled and tested (sizes.py)."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of training: bf16 is faster on a GPU, and on a CPU that multiplies in it."""
    threads: int = 1
    """Cores to use."""
    seed: int = 0
    """Of everything."""
    publish: bool = False
    """Put what came out beside this file and into README.md, and draw the picture of
    docs/results.md."""
    publish_second_run: bool = False
    """Put it beside that, into results-second-run.json and README.md."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    os.environ["OMP_NUM_THREADS"] = str(recipe.threads)
    torch.set_num_threads(recipe.threads)
    recipe.out.mkdir(parents=True, exist_ok=True)
    size, out = SIZES[recipe.size], recipe.out
    settings = {k: v for k, v in asdict(recipe).items() if k not in _NOT_SETTINGS}
    stages = Stages.open(out, settings | asdict(size))
    shown = demonstrations(recipe.data)
    policy = _train_policy(recipe, shown[: size.demonstrations])
    others = shown[size.demonstrations :][: size.reward_problems]
    train, decided = _train_chains(recipe, stages, others)
    trained = {kind: _train_reward(recipe, kind, train) for kind in (PRM, ORM)}
    samples = _test_chains(recipe, stages)
    records = list(read_records(samples))
    results = {
        **made_by("recipes/real-llm/run.py"),
        "settings": {"size": recipe.size, **asdict(size), "seed": recipe.seed},
        "policy_training": policy,
        "reward_training": trained,
        "labels": decided,
        "views": measured(records),
    }
    write_results(results, out / "results.json")
    write_curves_svg(out / "curves.svg", curves(records), rule=RULE)
    print(tables(results))
    if recipe.publish:
        publish(results, out)
    if recipe.publish_second_run:
        publish_second_run(results)


def _train_policy(recipe: Recipe, shown: Sequence[ChainRecord]) -> dict[str, Any]:
    """Fine-tune the LM on solutions."""
    size, chains = SIZES[recipe.size], recipe.out / "demonstrations.jsonl.gz"
    write_records(chains, shown)
    how = (*POLICY, *_learning(recipe), "--epochs", size.policy_epochs)
    how += ("--trainable", size.policy_trainable)
    told = ("--trunk", recipe.trunk, "--out", recipe.out / "policy")
    return rung("train", "policy", chains, *told, *how)


def _train_chains(
    recipe: Recipe, stages: Stages, references: Sequence[ChainRecord]
) -> tuple[Path, dict[str, int]]:
    """The policy's chains for other training problems, every step labeled, and by whom."""
    size, out = SIZES[recipe.size], recipe.out
    problems = [record.chain.problem for record in references]
    stages.run("sample train", lambda: _sample(recipe, "train", problems, size.chains))
    sampled = read_records(out / "train-chains.jsonl.gz")
    with_references, checked = out / "train-all.jsonl.gz", out / "train-checked.jsonl.gz"
    write_records(with_references, [*sampled, *references])
    _check(with_references, checked)
    values = {
        record.chain.problem.root_id: {
            value for text in record.chain.texts if (value := value_of(text)) is not None
        }
        for record in references
    }
    labeled, decided = with_step_labels(list(read_records(checked)), values)
    write_records(out / "train-labeled.jsonl.gz", labeled)
    return out / "train-labeled.jsonl.gz", decided


def _train_reward(recipe: Recipe, kind: str, chains: Path) -> dict[str, Any]:
    """Train a PRM or an ORM from the policy's weights, alike."""
    size = SIZES[recipe.size]
    how = [*REWARD, *_learning(recipe), "--epochs", size.reward_epochs]
    how += ["--trainable", size.reward_trainable]
    how += ["--label-source", SOURCE] if kind == PRM else []
    told = ("--trunk", recipe.out / "policy", "--out", recipe.out / kind)
    return rung("train", kind, chains, *told, *how)


def _test_chains(recipe: Recipe, stages: Stages) -> Path:
    """The policy's chains for test problems, checked and scored by both models."""
    size, out = SIZES[recipe.size], recipe.out
    problems = test_problems(recipe.data, size.test_problems)
    stages.run("sample test", lambda: _sample(recipe, "test", problems, size.n))
    checked = out / "test-checked.jsonl.gz"
    _check(out / "test-chains.jsonl.gz", checked)
    records = list(read_records(checked))
    for kind in (PRM, ORM):
        stages.run(f"score by {kind}", partial(_score, recipe, kind, checked))
        scored = read_records(out / f"test-{kind}.jsonl.gz")
        pairs = zip(records, scored, strict=True)
        records = [record.with_scores(other.scores[-1]) for record, other in pairs]
    write_records(out / "samples.jsonl.gz", compact(records))
    return out / "samples.jsonl.gz"


def _score(recipe: Recipe, kind: str, checked: Path) -> None:
    scored = recipe.out / f"test-{kind}.jsonl.gz"
    rung("score", checked, "--scorer", f"{kind}={recipe.out / kind}", "--out", scored)


def _sample(recipe: Recipe, split: str, problems: Sequence[Problem], n: int) -> None:
    asked, chains = (recipe.out / f"{split}-{name}.jsonl.gz" for name in ("problems", "chains"))
    write_problems(asked, problems)
    together = n if n >= ONE_PROBLEM else MANY_PROBLEMS
    how = (*SAMPLING, "--n", n, "--seed", recipe.seed, "--max-batch-chains", together)
    rung("sample", asked, "--policy", recipe.out / "policy", "--out", chains, *how)


def _check(chains: Path, checked: Path) -> None:
    """Final answers by the reference answers, steps by the calculator."""
    how = ("--verifier", "answer", "--verifier", "arithmetic")
    rung("label", "verify", chains, *how, "--out", checked)


def _learning(recipe: Recipe) -> tuple[Any, ...]:
    return (*TO_THE_END, "--precision", recipe.precision, "--seed", recipe.seed)


if __name__ == "__main__":
    run_command(main, Recipe, "real-llm", __doc__)
