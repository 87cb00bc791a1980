"""Training a PRM on chains that share a beginning, against TRL's PRMTrainer.

One model (SmolLM2-135M with a head of two classes), the same rows, one machine, one thread, the
sides in turn. Three workloads: chains that share nothing, 8 chains a question, and PRM800K's rows
with the alternatives to their steps. Both sides compute activations again in the backward pass, as
TRL does by default; rung also runs keeping them. `curves.py` compares the losses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from common import (
    SHARED_DATA,
    Answer,
    Side,
    Spread,
    alternate,
    conditions,
    publish,
    ratios,
    start_sides,
    table,
)
from rows import Row, alternatives, independent, several_a_question
from training_jobs import TRL, rung_job, trl_job

from rung.core import RungError
from rung.model.gguf import causal_lm_folder
from rung.model.trunk import load_trunk

RUNG, SCATTERED, PRODUCT = "rung", "rung without sharing", "matrix product"
RUNG_KEEPING, TRL_KEEPING = "rung keeping activations", "TRL keeping activations"
COMPARED = [(RUNG, TRL.name), (RUNG_KEEPING, TRL.name), (RUNG_KEEPING, TRL_KEEPING)]
COMPARED += [(RUNG, SCATTERED)]
Workload = Literal["independent chains", "8 chains a question", "rows with alternatives"]
GOALS: dict[Workload, str] = {
    "independent chains": "at least 2",
    "8 chains a question": "at least 4",
    "rows with alternatives": "at least 8",
}
"""Workload to how many times TRL's labeled steps a second rung should train."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """The defaults make the numbers in README.md."""

    data: Path = SHARED_DATA
    """The folder of the real data."""
    out: Path = Path("runs/benchmarks")
    """Where the sides' logs go."""
    trunk: str = "smollm2"
    """A folder, a GGUF file, or "smollm2" for the one on PyPI."""
    precision: str = "bf16"
    """bf16 (autocast) or fp32, on both sides."""
    chains: int = 16
    """Independent chains, and chains of all questions with 8 each."""
    rows: int = 4
    """Rows of PRM800K with alternatives, 4 at most, those with fewest chains first."""
    batch_tokens: int = 1024
    """Tokens that rung runs at a time; two such make an optimizer step."""
    workloads: tuple[Workload, ...] = tuple(GOALS)
    """Which of them to measure."""
    keeping: bool = True
    """Measure TRL without gradient checkpointing too, which takes 8 GiB."""
    rounds: int = 3
    """Times that each side is measured."""
    threads: int = 1
    """Of each side."""
    without_peers: bool = False
    """rung alone, with and without sharing."""
    publish: bool = False
    """Put the table into README.md beside this file."""


def main(run: Train) -> None:
    run.out.mkdir(parents=True, exist_ok=True)
    scripts = {RUNG: (sys.executable, "rung_training.py")}
    if not run.without_peers:
        scripts[TRL.name] = (TRL.python(), TRL.script)
    folder = causal_lm_folder(run.trunk).resolve()
    with start_sides(scripts, {"model": str(folder), "threads": run.threads}, run.out) as sides:
        shown = _measure(run, folder, sides)
    told = {"precision": run.precision, "threads": run.threads, "rounds": run.rounds}
    told |= {"batch_tokens": f"2 x {run.batch_tokens}"}
    text = "\n\n".join([*shown, conditions(told)])
    print(text)
    if run.publish:
        publish("train" if run.precision == "bf16" else f"train_{run.precision}", text)


def _measure(run: Train, folder: Path, sides: Mapping[str, Side]) -> list[str]:
    """Each workload on all sides; the tables of ratios, of sides, and of the floor."""
    rows_of: dict[Workload, Callable[[], list[Row]]] = {
        "independent chains": lambda: independent(run.chains, run.data),
        "8 chains a question": lambda: several_a_question(run.chains // 8, run.data),
        "rows with alternatives": lambda: alternatives(run.rows, run.data),
    }
    found: dict[Workload, dict[str, list[Answer]]] = {}
    for name in run.workloads:
        found[name] = alternate(sides, _jobs(run, name, rows_of[name]()), run.rounds)
    first, *_ = found.values()
    floor = _floor(folder, first[RUNG_KEEPING], first.pop(PRODUCT))
    return [_goals(found), _sides(found), floor]


def _jobs(
    run: Train, workload: Workload, rows: Sequence[Row]
) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """What is run on a workload: the name of each job, its side, and what the side is told."""
    told = {"batch_tokens": run.batch_tokens, "accumulation": 2, "precision": run.precision}
    jobs: dict[str, tuple[str, Mapping[str, Any]]] = {
        RUNG: (RUNG, rung_job(rows, checkpointing=True, **told)),
        RUNG_KEEPING: (RUNG, rung_job(rows, **told)),
    }
    is_bf16, is_first = run.precision == "bf16", workload == run.workloads[0]
    if run.without_peers:
        jobs[SCATTERED] = (RUNG, rung_job(rows, checkpointing=True, share=False, **told))
    else:
        jobs[TRL.name] = (TRL.name, trl_job(rows, bf16=is_bf16))
    if is_first and run.keeping and not run.without_peers:
        keeping = trl_job(rows, bf16=is_bf16, gradient_checkpointing=False)
        jobs[TRL_KEEPING] = (TRL.name, keeping)
    if is_first:
        jobs[PRODUCT] = (RUNG, {"is_floor": True, "precision": run.precision})
    return jobs


def _goals(found: Mapping[Workload, Mapping[str, Sequence[Answer]]]) -> str:
    """How many times TRL's labeled steps a second rung trains: both train the same labels."""
    rows: list[list[str]] = []
    for name, sides in found.items():
        for ours, theirs in COMPARED:
            if theirs in sides:
                pair = sides[theirs], sides[ours]
                shown = [ratios(*pair, clock).shown(2) for clock in ("seconds", "cpu_seconds")]
                goal = GOALS[name] if (ours, theirs) == (RUNG, TRL.name) else ""
                rows.append([f"{name}: {ours} / {theirs}", *shown, goal])
    return table(["labeled steps a second", "wall clock", "processor time", "goal"], rows)


def _sides(found: Mapping[Workload, Mapping[str, Sequence[Answer]]]) -> str:
    """One row a workload and side."""
    rows: list[list[str]] = []
    for name, sides in found.items():
        targets = sides[RUNG][0]["targets"]
        for side, answers in sides.items():
            first = answers[0]
            speeds = [targets / answer["seconds"] for answer in answers]
            same = {True: "yes", False: "no"}[first["ids"] == sides[RUNG][0]["ids"]]
            rows.append(
                [
                    f"{name}, {side}",
                    f"{targets} / {first['steps']}",
                    str(first["tokens"]),
                    Spread.of(speeds).shown(2),
                    Spread.of([answer["cpu_seconds"] for answer in answers]).shown(),
                    f"{max(answer['peak_bytes'] for answer in answers) / 2**30:.1f} GiB",
                    same,
                ]
            )
    head = ["", "labels / optimizer steps", "tokens run", "labels a second"]
    return table([*head, "seconds of processor", "peak memory", "same ids"], rows)


def _floor(folder: Path, ours: Sequence[Answer], product: Sequence[Answer]) -> str:
    """What share of a plain matrix product's speed training reaches; attention is left out."""
    trunk = load_trunk(folder).model
    weights = sum(weight.numel() for weight in trunk.parameters())
    weights -= trunk.get_input_embeddings().weight.numel()
    shares = [
        Spread.of(
            [
                6 * weights * a["tokens"] / a[clock] / (b["flop"] / b[clock])
                for a, b in zip(ours, product, strict=True)
            ]
        )
        for clock in ("seconds", "cpu_seconds")
    ]
    cells = [f"{100 * share.middle:.0f}%" for share in shares]
    return table(
        ["rung reaches of a matrix product's speed", "wall clock", "processor time"],
        [
            ["6 x weights x tokens, keeping activations", *cells],
        ],
    )


if __name__ == "__main__":
    try:
        main(tyro.cli(Train, description=__doc__))
    except RungError as error:
        raise SystemExit(f"train: {error}") from None
