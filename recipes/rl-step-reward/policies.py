"""The policies that the runs start from: one that knows the lab, unlearned to a success rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from rung.core import Chain, ChainRecord, Problem, Verdict
from rung.data.lab import Lab, demonstrations, make_demonstrator, make_problems, read_story
from rung.label import LabLabeler
from rung.model.tiny import make_tiny
from rung.train import Optimization, PolicyTraining, train_policy

CONTEXT = 768
HELD_OUT = 300
LEARNING = Optimization(
    lr=3e-3, beta2=0.98, epochs=2, batch_tokens=2048, patience=0, evaluate_every=300
)
"""Long chains are read without a fault only when the rate has come down, at the end."""
UNLEARNING = replace(LEARNING, lr=1e-3, epochs=1)
WIDTH, LAYERS = 64, 2
CONVINCED = 0.9
"""How often the wrong result of a misconceived fact is given."""


@dataclass(frozen=True, slots=True)
class WholeChains:
    """Calls a chain right if every step of it is, as a proof.

    In so small a lab one wrong chain in nine happens to come to the right number.
    """

    def verify(self, chains: Sequence[Chain]) -> list[Verdict]:
        """One verdict a chain."""
        return [
            Verdict.CORRECT if _is_whole(chain, labels.labels) else Verdict.INCORRECT
            for chain, labels in zip(chains, LabLabeler().label(chains), strict=True)
        ]


def slipping(num_steps: int, rate: float = 1.0) -> Lab:
    """A lab whose demonstrator gets a share `rate` of its chains right, by slips alone.

    A right result stays the likeliest one at every step, with its neighbors beside it.
    """
    slip = 1 - rate ** (1 / num_steps)
    return Lab(num_steps=num_steps, misconceived_share=0.0, slip_rate=slip)


def convinced(num_steps: int, rate: float) -> Lab:
    """The same by misconceptions alone: of some facts it has lost the right result.

    These it gets right in one case of ten, and else gives one wrong result, always the same.
    """
    wrong = 1 - rate ** (1 / num_steps)
    held = max(CONVINCED, wrong)
    return Lab(
        num_steps=num_steps,
        misconceived_share=wrong / held,
        misconceived_rate=held,
        slip_rate=0.0,
    )


def train_base(folder: Path, lengths: tuple[int, ...], count: int, seed: int) -> Path:
    """A policy that writes right chains of all lengths; its folder."""
    records = list(islice(_mixed(lengths, count, seed), count))
    texts = [text for r in records for text in (r.chain.problem.question, *r.chain.texts)]
    if not (folder / "tiny").exists():
        make_tiny(
            folder / "tiny",
            texts,
            seed=seed,
            width=WIDTH,
            num_layers=LAYERS,
            max_tokens=CONTEXT,
        )
    training = PolicyTraining(trunk=folder / "tiny", optimization=replace(LEARNING, seed=seed))
    train_policy(training, records[HELD_OUT:], records[:HELD_OUT], folder / "base")
    return folder / "base"


def unlearn(base: Path, folder: Path, lab: Lab, count: int, seed: int) -> Path:
    """The base policy, trained further on chains of a lab's demonstrator; its folder."""
    problems = make_problems(lab, count, seed=seed + 1)
    chains = demonstrations(make_demonstrator(lab, seed=seed), problems, seed=seed)
    records = [ChainRecord(chain) for chain in chains]
    training = PolicyTraining(trunk=base, optimization=replace(UNLEARNING, seed=seed))
    train_policy(training, records, [], folder)
    return folder


def problems_for(num_steps: int, count: int, seed: int) -> list[Problem]:
    """Problems to train on and to look at; none was demonstrated."""
    return list(make_problems(slipping(num_steps), count, seed=seed + 2))


def _mixed(lengths: tuple[int, ...], count: int, seed: int) -> Iterator[ChainRecord]:
    """Right chains, a length after the other."""
    each = -(-count // len(lengths))
    streams = [
        demonstrations(
            make_demonstrator(slipping(length), seed=seed),
            make_problems(slipping(length), each, seed=seed),
            seed=seed,
        )
        for length in lengths
    ]
    for group in zip(*streams, strict=True):
        yield from map(ChainRecord, group)


def _is_whole(chain: Chain, labels: tuple[float | None, ...]) -> bool:
    num_steps = len(read_story(chain.problem).events) + 1
    return len(labels) == num_steps and all(label == 1.0 for label in labels)
