"""Loss curves of rung and of TRL's PRMTrainer on the same batches in the same order.

Both start from one model with the same new head, in fp32, and train on rung's batches in rung's
order: chains that share nothing, since TRL trains a shared step once for each chain, rung once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from common import SHARED_DATA, conditions, publish, start_sides, table
from rows import Row, independent
from training_jobs import TRL, rung_job, trl_job

from rung.core import RungError
from rung.model.gguf import causal_lm_folder
from rung.model.tiny import make_tiny


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """The defaults make the numbers in README.md."""

    data: Path = SHARED_DATA
    """The folder of the real data."""
    out: Path = Path("runs/benchmarks")
    """Where the sides' logs go."""
    trunk: str = "new"
    """A folder, a GGUF file, "smollm2" for the one on PyPI, or "new" for an untrained Llama of 4
    layers, 256 wide."""
    chains: int = 64
    """One of each problem."""
    batch_tokens: int = 256
    """Tokens of an optimizer step; a longer chain is one alone."""
    threads: int = 1
    """Of each side."""
    publish: bool = False
    """Put the table into README.md beside this file."""


def main(run: Curves) -> None:
    run.out.mkdir(parents=True, exist_ok=True)
    scripts = {
        "rung": (sys.executable, "rung_training.py"),
        TRL.name: (TRL.python(), TRL.script),
    }
    rows = independent(run.chains, run.data)
    trunk = _new_trunk(rows, run.out) if run.trunk == "new" else causal_lm_folder(run.trunk)
    settings = {"model": str(trunk.resolve()), "threads": run.threads}
    how = {"lr": 3e-4, "batch_tokens": run.batch_tokens, "precision": "fp32", "weight_decay": 0.0}
    with start_sides(scripts, settings, run.out) as sides:
        ours = sides["rung"].do(rung_job(rows, tells_order=True, **how))
        theirs = sides[TRL.name].do(
            trl_job(
                rows,
                order=ours["order"],
                learning_rate=how["lr"],
                bf16=False,
                gradient_checkpointing=False,
            )
        )
    told = {"chains": run.chains, "batch_tokens": run.batch_tokens, "precision": "fp32"}
    text = f"{shown(ours['losses'], theirs['losses'])}\n\n{conditions(told)}"
    print(text)
    if run.publish:
        publish("curves", text)


def _new_trunk(rows: Sequence[Row], out: Path) -> Path:
    """An untrained model whose tokenizer knows the rows' words; one that is there is taken."""
    folder = out / "curves-trunk"
    if not folder.exists():
        texts = [text for row in rows for text in (row["prompt"], *row["completions"])]
        make_tiny(folder, texts, seed=0, width=256, num_layers=4, max_tokens=1024)
    return folder


def shown(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The two curves step by step, and how far they come apart."""
    pairs = list(zip(ours, theirs, strict=True))
    lines = [
        [str(step), f"{a:.6f}", f"{b:.6f}", f"{abs(a - b):.1e}"]
        for step, (a, b) in enumerate(pairs, start=1)
    ]
    apart = max(abs(a - b) for a, b in pairs)
    head = ["step", "rung's loss", "TRL's loss", "apart"]
    return f"{table(head, lines)}\n\nAt most {apart:.1e} apart in {len(pairs)} steps."


if __name__ == "__main__":
    try:
        main(tyro.cli(Curves, description=__doc__))
    except RungError as error:
        raise SystemExit(f"curves: {error}") from None
