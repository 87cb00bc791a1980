"""What the real engine writes, in this process, as JSON: run by test_vllm_generator.py."""

import json
import sys
from dataclasses import asdict, replace
from typing import Any

from rung.core import Chain, Problem, Sampling
from rung.generate.vllm import VllmGenerator, open_vllm

GREEDY = Sampling(temperature=0, max_tokens=24, logprobs=True)
DRAWN = Sampling(temperature=1.0, max_tokens=24, seed=3, logprobs=True)
STEP = Sampling(temperature=1.0, max_tokens=40, seed=3, until="step", logprobs=True)


def facts(groups: list[list[Chain]]) -> list[list[Any]]:
    chains = [chain for group in groups for chain in group]
    return [[list(chain.texts), asdict(chain.source) if chain.source else None] for chain in chains]


def main(folder: str, questions: list[str]) -> None:
    options = {"enforce_eager": True, "max_model_len": 128, "dtype": "float32"}
    policy = VllmGenerator(open_vllm(folder, **options), "tiny")
    prefixes = [Chain(Problem(str(k), text), ()) for k, text in enumerate(questions)]
    steps = policy.sample(prefixes, 3, STEP)
    longer = policy.sample([group[0] for group in steps], 1, replace(STEP, seed=4))
    begun = [prefix.extend("In") for prefix in prefixes]
    told = {
        "greedy": policy.sample(prefixes, 1, GREEDY),
        "drawn": policy.sample(prefixes, 3, DRAWN),
        "again": policy.sample(prefixes, 3, DRAWN),
        "alone": policy.sample(prefixes[:1], 3, DRAWN),
        "steps": steps,
        "longer": longer,
        "inside": policy.sample(begun, 2, replace(STEP, inside_step=True)),
        "full": policy.sample([Chain(Problem("long", "1 " * 200), ())], 1, STEP),
    }
    print(json.dumps({name: facts(groups) for name, groups in told.items()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
