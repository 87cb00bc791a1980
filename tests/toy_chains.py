"""Chains that a tiny model learns in seconds: a step that says "good" is right."""

import random
from pathlib import Path

from rung import Chain, ChainRecord, Problem, StepLabels, Verdict

SOURCE = "toy"


def toy_record(seed: int, num_steps: int = 4) -> ChainRecord:
    rng = random.Random(seed)
    is_right = [rng.random() < 0.6 for _ in range(num_steps)]
    texts = [
        f"step {k} is {'good' if r else 'bad'} {rng.randrange(9)}" for k, r in enumerate(is_right)
    ]
    return ChainRecord(
        Chain.of(Problem(f"p{seed}", f"Add {seed} and {seed + 1}."), texts),
        labels=(StepLabels(tuple(map(float, is_right)), SOURCE),),
        outcome=Verdict.CORRECT if all(is_right) else Verdict.INCORRECT,
    )


def toy_records(num: int, first: int = 0) -> list[ChainRecord]:
    return [toy_record(seed) for seed in range(first, first + num)]


def solved(problem: int, try_: int) -> ChainRecord:
    """One of a problem's chains; only its outcome is known: without a "bad" step it is right."""
    rng = random.Random(f"{problem}/{try_}")
    is_right = try_ % 2 == 0
    words = ["good"] * 3 if is_right else rng.sample(["good", "bad", "bad"], 3)
    texts = [f"step {k} is {word} {rng.randrange(9)}" for k, word in enumerate(words)]
    return ChainRecord(
        Chain.of(Problem(f"p{problem}", f"Add {problem} and {problem + 1}."), texts),
        outcome=Verdict.CORRECT if is_right else Verdict.INCORRECT,
    )


def make_toy_trunk(folder: Path, *, max_tokens: int = 128, seed: int = 0) -> Path:
    from rung.model.tiny import make_tiny

    records = toy_records(50)
    texts = [t for r in records for t in (r.chain.problem.question, *r.chain.texts)]
    make_tiny(folder, texts, seed=seed, width=32, max_tokens=max_tokens)
    return folder


def logits_of(model, ids):
    """A reward model's logits at every token of one sequence."""
    import torch

    from rung.model.packing import join, pack

    batch, rows = join([pack([ids], [range(len(ids))])], torch.device("cpu"))
    with torch.no_grad():
        return model(batch, rows)
