"""rung's side of `score_tree.py`: chains by `RewardScorer.score`, a search by a session."""

from __future__ import annotations

from typing import Any

import torch
from floor import product_flops
from side import Job, serve, settings

from rung.core import Chain, Problem
from rung.score import load_scorer


def main() -> None:
    told = settings()
    torch.set_num_threads(told["threads"])
    scorer = load_scorer(told["model"], precision=told["precision"])

    def do(job: Job) -> Job:
        if "is_floor" in job:
            return product_flops(scorer.reader.trunk.dtype)
        return _search(scorer, job) if job["is_search"] else _chains(scorer, job)

    serve(do)


def _chains(scorer: Any, job: Job) -> Job:
    problems = [Problem(str(k), question) for k, question in enumerate(job["questions"])]
    before = scorer.usage.computed
    (level,) = job["levels"]
    found = scorer.score([Chain.of(problems[k], steps) for k, steps in level])
    scores = [list(scored.scores) for scored in found]
    return {"scores": [scores], "tokens": scorer.usage.computed - before}


def _search(scorer: Any, job: Job) -> Job:
    """Each level's last steps behind the prefixes of the level before; what is left is dropped."""
    problem = Problem("0", job["questions"][0])
    session = scorer.open(problem)
    ids: dict[tuple[str, ...], str] = {(): problem.root_id}
    scores: list[list[float | None]] = []
    for level in job["levels"]:
        paths = [tuple(steps) for _, steps in level]
        session.drop(set(ids.values()) - {ids[path[:-1]] for path in paths})
        found = session.extend([ids[path[:-1]] for path in paths], [path[-1] for path in paths])
        ids = {path: step.id for path, step in zip(paths, found, strict=True)}
        scores.append([[step.score] for step in found])
    return {"scores": scores, "tokens": session.usage.computed}


main()
