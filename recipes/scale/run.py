"""The plan of docs/guides/scale.md: a million chains, in measured and published rates."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

import msgspec
import tyro
from command import run_command
from pages import put, write_results
from plan import Assumed, Measured, Rollouts, measured_table, table

HERE = Path(__file__).resolve().parent
GUIDE = HERE.parents[1] / "docs" / "guides" / "scale.md"
MEASURED = HERE / "measured.json"
ROLLOUTS = HERE.parent / "rollout-labels" / "results.json"
WAYS = {
    ("adaptive, hard", 16): "roll out, hard labels, K = 16",
    ("adaptive, soft", 16): "roll out, soft labels, K = 16",
    ("omega", 16): "roll out, binary search (omega), K = 16",
    ("fixed", 16): "roll out 16 times from every prefix",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Print the plan, with other numbers if you have better ones."""

    assumed: tyro.conf.OmitArgPrefixes[Assumed] = field(default_factory=Assumed)
    measure: bool = False
    """Measure again on this machine and keep it in measured.json (minutes)."""
    data: Path = HERE.parents[2] / "shared" / "data"
    """For --measure: where processbench_gsm8k_math.jsonl.gz is."""
    policy: Path = Path("quickstart/policy")
    """For --measure: a lab policy."""
    num_chains: int = 1_400
    """For --measure."""
    publish: bool = False
    """Put the tables into docs/guides/scale.md."""


def main(recipe: Recipe) -> None:
    """Print, and publish."""
    if recipe.measure:
        _measure(recipe)
    measured = msgspec.json.decode(MEASURED.read_bytes(), type=Measured)
    parts = {
        "measured": measured_table(measured),
        "plan": table(measured, rollouts(), recipe.assumed),
    }
    print("\n\n".join(parts.values()))
    for name, text in parts.items() if recipe.publish else ():
        put(GUIDE, name, text)


def _measure(recipe: Recipe) -> None:
    from measure import measure

    from rung.generate import TransformersGenerator
    from rung.model import load_causal_lm
    from rung.verify import extract_answer

    policy = TransformersGenerator(*load_causal_lm(recipe.policy), extract_answer=extract_answer)
    tokenizer: Any = load_causal_lm("smollm2").tokenizer
    found = measure(recipe.data, tokenizer, policy, num_chains=recipe.num_chains)
    write_results(msgspec.to_builtins(found), MEASURED)


def rollouts() -> list[Rollouts]:
    """What each way of rolling out asked for in the lab."""
    results = msgspec.json.decode(ROLLOUTS.read_bytes())
    rows = {(row["method"], row["k"]): row for row in results["rows"]}
    n = results["num_chains"]
    return [
        Rollouts(
            name=name,
            rollouts_a_chain=rows[way]["rollouts"] / n,
            tokens_a_chain=rows[way]["tokens"] / n,
        )
        for way, name in WAYS.items()
    ]


if __name__ == "__main__":
    run_command(main, Recipe, "scale", __doc__)
