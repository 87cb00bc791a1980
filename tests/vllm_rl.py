"""`rung rl` with the real engine, as JSON: run by test_rl_vllm.py.

The same run twice, written by vLLM and by the learning model; then the engine is given the weights
of the start and of the end, and both write greedily.
"""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rung.core import Chain, Sampling
from rung.core.codec import decode_problem
from rung.generate import TransformersGenerator, VllmGenerator, open_vllm
from rung.label import LabLabeler
from rung.model import load_causal_lm
from rung.rl import Guards, Looking, Paying, RlTraining, Updating, Writing, train_rl, writers
from rung.train.trainable import saved_weights
from toy_scorers import EndsInNine


def settings(policy: Path) -> RlTraining:
    return RlTraining(
        policy=policy,
        paying=Paying(outcome_weight=0.0),
        guards=Guards(alarm="off"),
        updating=Updating(iterations=16, problems=4, chains=8, max_tokens=24, lr=1e-3, warmup=2),
        looking=Looking(look_every=16, look_chains=2),
    )


def main(policy: Path, problems_file: Path, out: Path) -> None:
    problems = [decode_problem(line) for line in problems_file.read_bytes().splitlines()]
    made: list[VllmGenerator] = []

    def kept(*args: Any, **options: Any) -> VllmGenerator:
        made.append(VllmGenerator(*args, **options))
        return made[-1]

    writers.open_vllm = partial(open_vllm, enforce_eager=True)
    writers.VllmGenerator = kept
    for name in ("transformers", "vllm"):
        how = replace(settings(policy), writing=Writing(generator=name))
        players: Any = {"verifier": LabLabeler(), "scorer": EndsInNine()}
        train_rl(how, problems[:20], problems[20:40], out / name, **players)
    [engine] = made
    prefixes = [Chain(problem, ()) for problem in problems[40:50]]
    told: dict[str, Any] = {}
    for name, folder in (("first", policy), ("last", out / "vllm")):
        loaded = load_causal_lm(folder)
        engine.load_weights(saved_weights(loaded.model))
        both = {"engine": engine, "own": TransformersGenerator(*loaded)}
        told[name] = {who: greedy(one, prefixes) for who, one in both.items()}
    print(json.dumps(told))


def greedy(policy: TransformersGenerator | VllmGenerator, prefixes: list[Chain]) -> list[Any]:
    how = Sampling(temperature=0, max_tokens=24, logprobs=True)
    written = [one for [one] in policy.sample_tokens(prefixes, 1, how)]
    return [[one.ids, one.steps, one.logprobs] for one in written]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
