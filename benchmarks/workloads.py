"""The chains that the sides score: real questions and real solutions.

A chain is ``(k, steps)``: steps for question k. Levels are lists of chains that are scored
together: one level where whole chains are scored, one a step where a search runs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from common import HERE, SHARED_DATA

from rung.core import Problem, read_records
from rung.core.errors import RungError
from rung.data import load
from rung.data.lab import Lab, make_problems

SAMPLED = HERE / "data" / "smollm2_chains.jsonl.gz"
"""64 chains that SmolLM2-135M-Instruct wrote for one GSM8K question (README.md has the command)."""
SOLUTIONS = "bon_zeroeval_gsm8k_12models.jsonl.gz"
Chain = tuple[int, list[str]]


@dataclass(frozen=True, slots=True)
class Workload:
    """Questions, and the chains of each level."""

    questions: list[str]
    levels: list[list[Chain]]

    def job(self, **more: Any) -> dict[str, Any]:
        """As a side takes it."""
        return {"questions": self.questions, "levels": self.levels, "is_search": False, **more}


def unseen_problems(quickstart: Path, count: int) -> tuple[list[Problem], Lab]:
    """Problems that no model of a finished `rung quickstart` has seen, and their lab."""
    told = json.loads((quickstart / "stages.json").read_text())["settings"]
    names = ("num_demonstrations", "train_problems", "validation_problems", "test_problems")
    used, lab = sum(told[name] for name in names), Lab(**told["lab"])
    return list(islice(make_problems(lab, used + count, seed=told["seed"]), used, None)), lab


def best_of_n(num_chains: int) -> Workload:
    """Chains of one question, whole."""
    records = list(islice(read_records(SAMPLED), num_chains))
    question = records[0].chain.problem.question
    return Workload([question], [[(0, list(record.chain.texts)) for record in records]])


def unrelated(num_chains: int, data: Path = SHARED_DATA) -> Workload:
    """One published solution each of so many GSM8K questions: nothing is shared.

    Raises:
        RungError: The file of solutions is not there.
    """
    if not (data / SOLUTIONS).exists():
        raise RungError(f"there is no {data / SOLUTIONS}; --data names the folder of real data")
    chosen: dict[str, list[str]] = {}
    for record in load(data / SOLUTIONS):
        chain = record.chain
        if len(chain.steps) > 1 and chain.problem.question not in chosen:
            chosen[chain.problem.question] = list(chain.texts)
        if len(chosen) == num_chains:
            break
    return Workload(list(chosen), [[(k, steps) for k, steps in enumerate(chosen.values())]])


def step_texts(workload: Workload, num_levels: int, beams: int) -> list[list[str]]:
    """What a scripted language model writes in a search: the sampled chains' steps, in turn."""
    texts = cycle(_single_paragraphs(steps for level in workload.levels for _, steps in level))
    return [list(islice(texts, beams)) for _ in range(num_levels)]


def simulated_search(
    question: str, texts: Sequence[Sequence[str]], beams: int, beam_width: int
) -> Workload:
    """The levels of its-hub's beam search with beams that live by chance.

    It begins with ``beams / beam_width`` chains, keeps `beam_width` after each step, and goes on
    from copies of these.
    """
    draw, copies = random.Random(0), beams // beam_width
    paths: list[list[str]] = [[] for _ in range(copies)]
    levels: list[list[Chain]] = []
    for written in texts:
        paths = [[*path, text] for path, text in zip(paths, written, strict=False)]
        levels.append([(0, path) for path in paths])
        kept = draw.sample(paths, min(beam_width, len(paths)))
        paths = [path for _ in range(copies) for path in kept]
    return Workload([question], levels)


def distinct_tokens(ids: Iterable[Sequence[int]]) -> list[int]:
    """How far from its start each distinct token stands, 1 for the first.

    Tokens that follow the same tokens are one. Counted with a plain dictionary and not with rung's
    tree, which is what is being checked.
    """
    nodes: dict[tuple[int, int], int] = {}
    depths: list[int] = []
    for sequence in ids:
        node = 0
        for depth, token in enumerate(sequence, start=1):
            if (node, token) not in nodes:
                nodes[node, token] = len(nodes) + 1
                depths.append(depth)
            node = nodes[node, token]
    return depths


def _single_paragraphs(chains: Iterable[Sequence[str]]) -> list[str]:
    """Steps without blank lines, at which reward-hub would cut them in two."""
    return [step for steps in chains for step in steps if "\n\n" not in step]
