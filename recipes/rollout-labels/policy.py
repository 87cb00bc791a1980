"""A lab policy and its chains, as the quickstart makes them, with fewer demonstrations."""

from __future__ import annotations

from pathlib import Path

from rung.core import ChainRecord, Sampling
from rung.data.lab import Lab, demonstrations, make_demonstrator, make_problems
from rung.generate import TransformersGenerator, sample_windows
from rung.label import LabLabeler, with_outcomes
from rung.loop.quickstart import Quickstart
from rung.model.tiny import make_tiny
from rung.train import PolicyTraining, train_policy

HELD_OUT = 200
"""Demonstrations that only measure the policy's loss."""
MAX_TOKENS = Quickstart().max_tokens


def train_lab_policy(out: Path, num_demonstrations: int, seed: int) -> Path:
    """Train the policy into `out`/policy; a run that was stopped goes on, one that ended stays."""
    lab = Lab()
    problems = make_problems(lab, num_demonstrations, seed=seed)
    chains = demonstrations(make_demonstrator(lab, seed=seed), problems, seed=seed)
    records = [ChainRecord(chain) for chain in chains]
    if not (out / "tiny").exists():
        texts = (text for r in records for text in (r.chain.problem.question, *r.chain.texts))
        make_tiny(out / "tiny", texts, seed=seed, width=64, num_layers=2, max_tokens=512)
    training = PolicyTraining(trunk=out / "tiny", optimization=Quickstart().policy)
    train_policy(training, records[HELD_OUT:], records[:HELD_OUT], out / "policy")
    return out / "policy"


def write_chains(
    policy: TransformersGenerator, num_problems: int, n: int, seed: int
) -> list[ChainRecord]:
    """The policy's chains for fresh problems, with outcomes and exact labels."""
    problems = make_problems(Lab(), num_problems, seed=seed)
    sampling = Sampling(max_tokens=MAX_TOKENS, seed=seed)
    records = [r for window in sample_windows(policy, problems, n, sampling) for r in window]
    lab = LabLabeler()
    labels = lab.label([record.chain for record in records])
    labeled = [record.with_labels(y) for record, y in zip(records, labels, strict=True)]
    return with_outcomes(labeled, lab)
