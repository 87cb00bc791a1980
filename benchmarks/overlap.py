"""A beam search whose scorer is in a process of its own: both at work at once against in turn.

The driver of rung's searches samples with one thread and scores with another. Here the scorer lies
in a second process, and the same searches are run as they are and with a lock that lets only one
of the two work at a time. The policy is the quickstart's; the PRM is an untrained one that is
large enough to be as busy as the policy, since two that are not can't gain much by overlapping.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import tyro
from common import Spread, conditions, publish, table
from workloads import unseen_problems

from rung.core import Chain, Problem, Sampling, StepScores
from rung.data.lab import Lab
from rung.generate import TransformersGenerator
from rung.loop import Quickstart
from rung.model import Reading, load_causal_lm, new_reward_model, save_reward_model
from rung.model.tiny import make_tiny
from rung.score import load_scorer
from rung.search import Beam, Busy, Setting, rule, run_searches
from rung.search.scoring import growing

GOAL = "at least 1.5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """The defaults make the numbers in README.md."""

    quickstart: Path = Path("quickstart")
    """A finished `rung quickstart`: its policy writes."""
    problems: int = 100
    n: int = 16
    batch: int = 256
    """Continuations in one call; several calls a round, or there is nothing to overlap."""
    width: int = 192
    """Of the PRM."""
    layers: int = 6
    rounds: int = 3
    publish: bool = False
    """Put what came out into README.md."""


class Elsewhere:
    """A scorer in a process of its own, which waits for its turn."""

    name = "prm"

    def __init__(self, folder: Path, turn: contextlib.AbstractContextManager[Any]) -> None:
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _open, (str(folder),))
        self.turn = turn

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """The child's scores."""
        with self.turn:
            return self._pool.submit(_score, chains).result()

    def forget(self) -> None:
        """Begin anew: what was scored before is not known any more."""
        self._pool.submit(_begin).result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()


class InTurn:
    """A policy that waits for its turn."""

    def __init__(self, policy: TransformersGenerator, turn: Any) -> None:
        self.name, self._policy, self._turn = policy.name, policy, turn

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        """The policy's chains."""
        with self._turn:
            return self._policy.sample(prefixes, n, sampling)


def main(benchmark: Overlap) -> None:
    """Both ways, in turn."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    problems, lab = unseen_problems(benchmark.quickstart, benchmark.problems)
    policy = TransformersGenerator(*load_causal_lm(benchmark.quickstart / "policy"))
    found: dict[str, list[Busy]] = {"at once": [], "in turn": []}
    with TemporaryDirectory() as folder, _scorer(Path(folder), problems, benchmark) as scorer:
        _run(benchmark, policy, scorer, problems[:4], lab, contextlib.nullcontext())  # warms up
        for _ in range(benchmark.rounds):
            for name, turn in (
                ("at once", contextlib.nullcontext()),
                ("in turn", threading.Lock()),
            ):
                found[name].append(_run(benchmark, policy, scorer, problems, lab, turn))
    told = {"problems": benchmark.problems, "N": benchmark.n, "rounds": benchmark.rounds}
    text = _shown(found) + "\n\n" + conditions({**told, "threads": "1 a process"})
    print(text)
    if benchmark.publish:
        publish("overlap", text)


def _run(
    benchmark: Overlap,
    policy: TransformersGenerator,
    scorer: Elsewhere,
    problems: Sequence[Problem],
    lab: Lab,
    turn: Any,
) -> Busy:
    scorer.forget()
    busy, scorer.turn = Busy(), turn
    setting = Setting(
        generator=InTurn(policy, turn),
        scorer=scorer,
        pick=rule("min", scorer=None, answer_key=lambda chain: chain.answer),
        sampling=Sampling(max_tokens=Quickstart(lab=lab).max_tokens),
        max_steps=2 * (lab.num_steps + 1),
        in_flight=len(problems),
        batch=benchmark.batch,
    )
    began_s = time.monotonic()
    run_searches(Beam(n=benchmark.n, width=4), problems, setting, busy=busy)
    busy.total_s = time.monotonic() - began_s
    return busy


def _shown(found: dict[str, list[Busy]]) -> str:
    ratios = [b.total_s / a.total_s for a, b in zip(*found.values(), strict=True)]
    rows = []
    for name, runs in found.items():
        parts = ("total_s", "sampling_s", "scoring_s")
        spreads = [Spread.of([getattr(busy, part) for busy in runs]).shown(1) for part in parts]
        if name == "at once":
            rows.append([name, *spreads, f"{Spread.of(ratios).shown(2)} ({GOAL})"])
        else:  # waiting for a turn would count as being busy
            rows.append([name, spreads[0], "", "", ""])
    bound = [
        (a.sampling_s + a.scoring_s) / max(a.sampling_s, a.scoring_s) for a in found["at once"]
    ]
    head = ["policy and scorer work", "seconds", "policy busy", "scorer busy", "in turn / at once"]
    said = f"No order of work could gain more than {Spread.of(bound).shown(2)}: the busier of the"
    return table(head, rows) + f"\n\n{said} two is busy all the time then."


@contextlib.contextmanager
def _scorer(folder: Path, problems: Sequence[Problem], how: Overlap) -> Iterator[Elsewhere]:
    """An untrained PRM in another process."""
    texts = [problem.question for problem in problems]
    make_tiny(folder / "trunk", texts, seed=0, width=how.width, num_layers=how.layers)
    model, loaded = new_reward_model(folder / "trunk", seed=0)
    save_reward_model(model, loaded.tokenizer, Reading(kind="prm", max_tokens=512), folder / "prm")
    scorer = Elsewhere(folder / "prm", contextlib.nullcontext())
    try:
        yield scorer
    finally:
        scorer.close()


_prm: Any = None
_growing: Any = None


def _open(folder: str) -> None:
    global _prm
    torch.set_num_threads(1)
    _prm = load_scorer(folder)


def _begin() -> None:
    global _growing
    _growing = growing(_prm)


def _score(chains: Sequence[Chain]) -> list[StepScores]:
    return _growing.score(chains)


if __name__ == "__main__":
    main(tyro.cli(Overlap))
