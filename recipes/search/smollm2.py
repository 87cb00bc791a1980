"""The models for the same table on a real LM: SmolLM2-135M on the lab's word problems.

The LM is fine-tuned on the demonstrator's chains, errors and all, and writes chains of its own;
from its weights a PRM and an ORM learn these chains' labels. What comes out lies as a quickstart's
does, so `run.py --quickstarts FOLDER` searches with it. Stopped and run again, it goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import tyro

sys.path.append(str(Path(__file__).resolve().parent.parent / "first-error"))

from verbs import rung

from rung.core import ChainRecord, Problem, write_problems, write_records
from rung.data.lab import Lab, demonstrations, make_demonstrator, make_problems

MAX_TOKENS = 108
"""Room for a chain, of which a right one takes 12 tokens a step."""
LEARNING = ("--precision", "bf16", "--patience", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the models of the second table in README.md."""

    out: Path = Path("smollm2-lab")
    """Where everything goes."""
    trunk: str = "smollm2"
    """A causal LM to begin with."""
    num_demonstrations: int = 1100
    """Chains that the policy learns from."""
    train_problems: int = 600
    train_chains: int = 4
    """Chains a problem that the PRM and the ORM learn from."""
    validation_problems: int = 40
    lr: float = 2e-4
    """Of the policy."""
    reward_lr: float = 2e-4
    """Of the PRM and the ORM."""
    reward_epochs: int = 4
    """Over their chains: a PRM has learned little here after 66 updates, most of it after 150."""
    seed: int = 0


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    out, lab = recipe.out, Lab()
    out.mkdir(parents=True, exist_ok=True)
    problems = _splits(recipe, lab)
    demonstrator = make_demonstrator(lab, seed=recipe.seed)
    shown = demonstrations(demonstrator, problems["demonstrations"], seed=recipe.seed)
    write_records(out / "demonstrations.jsonl.gz", map(ChainRecord, shown))
    how = (*LEARNING, "--lr", recipe.lr, "--batch-tokens", 2048, "--validation-fraction", 0.05)
    chains = out / "demonstrations.jsonl.gz"
    rung("train", "policy", chains, "--trunk", recipe.trunk, "--out", out / "policy", *how)
    labeled = [_label(recipe, split, problems[split]) for split in ("train", "validation")]
    how = (*LEARNING, "--lr", recipe.reward_lr, "--batch-tokens", 1024)
    how += ("--epochs", recipe.reward_epochs, "--trunk", out / "policy")
    for kind in ("prm", "orm"):
        told = (labeled[0], "--validation", labeled[1], "--out", out / kind)
        rung("train", kind, *told, *how)
    settings = {name: value for name, value in asdict(recipe).items() if name != "out"}
    settings |= {"lab": asdict(lab), "test_problems": 0, "max_tokens": MAX_TOKENS}
    settings["lab"].pop("facts", None)
    (out / "stages.json").write_text(json.dumps({"settings": settings}, indent=1) + "\n")


def _splits(recipe: Recipe, lab: Lab) -> dict[str, list[Problem]]:
    """The problems of each split; no question stands in two."""
    counts = {
        "demonstrations": recipe.num_demonstrations,
        "train": recipe.train_problems,
        "validation": recipe.validation_problems,
    }
    every: Iterator[Problem] = make_problems(lab, sum(counts.values()), seed=recipe.seed)
    return {name: list(islice(every, count)) for name, count in counts.items()}


def _label(recipe: Recipe, split: str, problems: Sequence[Problem]) -> Path:
    """The policy's chains for a split's problems, every step labeled."""
    asked, chains, labeled = (
        recipe.out / f"{split}-{name}.jsonl.gz" for name in ("problems", "chains", "labeled")
    )
    write_problems(asked, problems)
    how = ("--n", recipe.train_chains, "--max-tokens", MAX_TOKENS, "--seed", recipe.seed)
    rung("sample", asked, "--policy", recipe.out / "policy", "--out", chains, *how)
    rung("label", "verify", chains, "--verifier", "lab", "--out", labeled)
    return labeled


if __name__ == "__main__":
    main(tyro.cli(Recipe))
