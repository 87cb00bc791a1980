"""Plain padded batches of whole chains: what most software does, on rung's own token ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from side import Job, serve, settings

from rung.core import Chain, Problem
from rung.model.families import open_reader

BATCH_CHAINS = 8
"""Sixteen and thirty-two were no faster."""


def main() -> None:
    told = settings()
    torch.set_num_threads(told["threads"])
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[told["precision"]]
    reader = open_reader(Path(told["model"])).to(torch.device("cpu"), dtype)

    @torch.inference_mode()
    def do(job: Job) -> Job:
        problems = [Problem(str(k), question) for k, question in enumerate(job["questions"])]
        scores, tokens = [], 0
        for level in job["levels"]:
            rendered = reader.render([Chain.of(problems[k], steps) for k, steps in level])
            found: list[list[float]] = []
            for at in range(0, len(rendered), BATCH_CHAINS):
                batch = rendered[at : at + BATCH_CHAINS]
                found += _scores(reader, batch)
                tokens += len(batch) * max(len(chain.ids) for chain in batch)
            scores.append(found)
        return {"scores": scores, "tokens": tokens}

    serve(do)


def _scores(reader: Any, batch: list[Any]) -> list[list[float]]:
    width = max(len(chain.ids) for chain in batch)
    ids = torch.tensor([[*chain.ids, *[0] * (width - len(chain.ids))] for chain in batch])
    is_real = torch.tensor([[k < len(chain.ids) for k in range(width)] for chain in batch])
    states = reader.trunk(input_ids=ids, attention_mask=is_real.long(), use_cache=False)
    return [
        reader.scores(states.last_hidden_state[row, list(chain.step_ends)], "padded")
        for row, chain in enumerate(batch)
    ]


main()
