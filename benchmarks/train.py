"""Training a PRM on chains that share a beginning, against TRL's PRMTrainer.

One model (SmolLM2-135M with a head of two classes), the same rows, one machine, one thread, the
sides in turn. Three workloads: chains that share nothing, 8 chains a question, and PRM800K's rows
with the alternatives to their steps. Then both train on the same batches in the same order, and
their losses are compared step by step.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from common import (
    SHARED_DATA,
    Answer,
    Peer,
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

from rung.core import RungError
from rung.model.gguf import causal_lm_folder
from rung.model.trunk import load_trunk

TRL = Peer(
    "TRL",
    "trl_training.py",
    "RUNG_TRL_PYTHON",
    "trl",
    "trl==1.13.0 torch==2.13.0",
)
KEEPING = "TRL without gradient checkpointing"
GOALS = {
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
    curve_chains: int = 8
    """Chains of the two loss curves."""
    batch_tokens: int = 1024
    """Tokens that rung runs at a time; two such make an optimizer step."""
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
    scripts = {"rung": (sys.executable, "rung_training.py")}
    if not run.without_peers:
        scripts[TRL.name] = (TRL.python(), TRL.script)
    folder = causal_lm_folder(run.trunk).resolve()
    with start_sides(scripts, {"model": str(folder), "threads": run.threads}, run.out) as sides:
        shown = [*_measure(run, folder, sides), *_curves(run, sides)]
    told = {"precision": run.precision, "threads": run.threads, "rounds": run.rounds}
    told |= {"batch_tokens": f"2 x {run.batch_tokens}"}
    text = "\n\n".join([*shown, conditions(told)])
    print(text)
    if run.publish:
        publish("train", text)


def _measure(run: Train, folder: Path, sides: Mapping[str, Side]) -> list[str]:
    """Each workload on all sides; the tables of ratios, of sides, and of the floor."""
    workloads = {
        "independent chains": independent(run.chains, run.data),
        "8 chains a question": several_a_question(run.chains // 8, run.data),
        "rows with alternatives": alternatives(run.rows, run.data),
    }
    found: dict[str, dict[str, list[Answer]]] = {}
    for name, rows in workloads.items():
        jobs = {"rung": ("rung", _rung_job(run, rows))}
        if run.without_peers:
            jobs["rung without sharing"] = ("rung", _rung_job(run, rows, share=False))
        else:
            jobs[TRL.name] = (TRL.name, _trl_job(run, rows))
        if name == "independent chains":
            jobs |= _extra_jobs(run, rows)
        found[name] = alternate(sides, jobs, run.rounds)
    product = found["independent chains"].pop("matrix product")
    floor = _floor(folder, found["independent chains"]["rung"], product)
    return [_goals(found), _sides(found), floor]


def _extra_jobs(run: Train, rows: Sequence[Row]) -> dict[str, tuple[str, dict[str, Any]]]:
    """The floor, and what TRL does when it may take more memory."""
    jobs = {"matrix product": ("rung", {"is_floor": True, "precision": run.precision})}
    if not run.without_peers:
        jobs[KEEPING] = (TRL.name, _trl_job(run, rows, gradient_checkpointing=False))
    return jobs


def _curves(run: Train, sides: Mapping[str, Side]) -> list[str]:
    """Both sides on rung's batches, in fp32 with one learning rate: losses step by step."""
    if run.without_peers:
        return []
    rows = independent(run.curve_chains, run.data)
    settings = {"precision": "fp32", "weight_decay": 0.0, "accumulation": 1}
    ours = sides["rung"].do(_rung_job(run, rows, tells_order=True, **settings))
    theirs = sides[TRL.name].do(
        _trl_job(run, rows, order=ours["order"], bf16=False, gradient_checkpointing=False)
    )
    pairs = list(zip(ours["losses"], theirs["losses"], strict=True))
    lines = [[str(k), f"{a:.4f}", f"{b:.4f}"] for k, (a, b) in enumerate(pairs, start=1)]
    apart = max(abs(a - b) for a, b in pairs)
    shown = table(["step", "rung's loss", "TRL's loss"], lines)
    return [
        f"On the same batches in the same order, in fp32:\n\n{shown}\n\nAt most {apart:.1e} apart."
    ]


def _rung_job(
    run: Train, rows: Sequence[Row], *, tells_order: bool = False, **changed: Any
) -> dict[str, Any]:
    optimization = {
        "lr": 1e-5,
        "schedule": "constant",
        "warmup_fraction": 0.0,
        "batch_tokens": run.batch_tokens,
        "accumulation": 2,
        "precision": run.precision,
        **changed,
    }
    return {"rows": rows, "optimization": optimization, "tells_order": tells_order}


def _trl_job(
    run: Train, rows: Sequence[Row], *, order: Any = None, **changed: Any
) -> dict[str, Any]:
    """TRL's defaults, but for the schedule, which is rung's, and one epoch."""
    config = {
        "num_train_epochs": 1,
        "learning_rate": 1e-5,
        "lr_scheduler_type": "constant",
        "bf16": run.precision == "bf16",
        **changed,
    }
    return {"rows": rows, "config": config, "order": order}


def _goals(found: Mapping[str, Mapping[str, Sequence[Answer]]]) -> str:
    """How many times TRL's labeled steps a second rung trains: both train the same labels."""
    rows: list[list[str]] = []
    for name, sides in found.items():
        for side in sides:
            if side != "rung":
                pair = sides[side], sides["rung"]
                shown = [ratios(*pair, clock).shown(2) for clock in ("seconds", "cpu_seconds")]
                goal = GOALS[name] if side == TRL.name else ""
                rows.append([f"{name}: rung / {side}", *shown, goal])
    return table(["labeled steps a second", "wall clock", "processor time", "goal"], rows)


def _sides(found: Mapping[str, Mapping[str, Sequence[Answer]]]) -> str:
    """One row a workload and side."""
    rows: list[list[str]] = []
    for name, sides in found.items():
        targets = sides["rung"][0]["targets"]
        for side, answers in sides.items():
            first = answers[0]
            speeds = [targets / answer["seconds"] for answer in answers]
            same = {True: "yes", False: "no"}[first["ids"] == sides["rung"][0]["ids"]]
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
            ["6 x weights x tokens, independent chains", *cells],
        ],
    )


if __name__ == "__main__":
    try:
        main(tyro.cli(Train, description=__doc__))
    except RungError as error:
        raise SystemExit(f"train: {error}") from None
