"""rung's searches."""

from __future__ import annotations

import torch
from side import Job, serve, settings

from rung import Problem, Sampling
from rung.generate import TransformersGenerator
from rung.model import load_causal_lm
from rung.score import load_scorer
from rung.search import Beam, ParticleFilter, Setting, rule, run_searches

BATCH = 1024
"""Continuations in one call: a tiny model's keys and values for so many take 150 MiB."""


def main() -> None:
    told = settings()
    torch.set_num_threads(told["threads"])
    policy = TransformersGenerator(*load_causal_lm(told["policy"]), max_batch_chains=BATCH)
    prm = load_scorer(told["prm"])

    def do(job: Job) -> Job:
        search = (
            Beam(n=job["n"], width=job["width"])
            if job["algorithm"] == "beam"
            else ParticleFilter(n=job["n"], seed=job["seed"])
        )
        setting = Setting(
            generator=policy,
            scorer=prm,
            pick=rule("min", scorer=None, answer_key=lambda chain: chain.answer),
            sampling=Sampling(max_tokens=told["max_tokens"], seed=job["seed"]),
            max_steps=told["max_steps"],
            in_flight=len(job["questions"]),
            batch=BATCH,
        )
        problems = [Problem(str(k), question) for k, question in enumerate(job["questions"])]
        results = run_searches(search, problems, setting)
        return {
            "steps": [list(r.chosen.chain.texts) if r.chosen else [] for r in results],
            "sampled": sum(r.spent.tokens_sampled for r in results),
            "scored": sum(r.spent.tokens_scored for r in results),
        }

    serve(do)


main()
