"""its-hub's beam search and reward-hub's Hugging Face PRM, as they are.

Both are run, not imitated: `BeamSearch` decides which beams live, and reward-hub scores every
prefix from its first token on. Only the language model is a script, so that all the time goes into
scoring, and its-hub's `AbstractProcessRewardModel` is bound to reward-hub's Hugging Face class
(its own binding knows reward-hub's vLLM class alone).
"""

from __future__ import annotations

import asyncio
from typing import Any

import torch
from its_hub.api import AbstractLanguageModel, AbstractProcessRewardModel
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.lms.step_generation import StepGeneration
from reward_hub.base import AggregationMethod
from reward_hub.hf.reward import HuggingFaceProcessRewardModel
from side import Job, serve, settings

SEPARATOR = "\n\n"


class Script(AbstractLanguageModel):
    """Writes the step texts that it was given, level by level."""

    def __init__(self, texts: list[list[str]]) -> None:
        self._levels = iter(texts)

    async def agenerate(self, messages: Any, stop: Any = None, **_: Any) -> list[dict[str, str]]:
        """One step for each conversation."""
        texts = next(self._levels)
        return [
            {"role": "assistant", "content": text} for _, text in zip(messages, texts, strict=False)
        ]


class RewardHub(AbstractProcessRewardModel):
    """reward-hub's class behind its-hub's protocol; it notes what it was asked."""

    def __init__(self, name: str) -> None:
        self.model = HuggingFaceProcessRewardModel(name)
        self.levels: list[list[Any]] = []
        self.scores: list[list[list[float]]] = []
        self.tokens = 0

    async def ascore(self, prompt: Any, responses: Any) -> Any:
        """The last step's score of each response."""
        self.levels.append([[0, response.split(SEPARATOR)] for response in responses])
        results = self._results(prompt, responses)
        self.scores.append([[result.last] for result in results])
        return [result.last for result in results]

    def score(self, prompt: Any, responses: Any) -> Any:
        """`ascore`, waited for."""
        return asyncio.run(self.ascore(prompt, responses))

    def _results(self, question: str, responses: list[str]) -> Any:
        turns = [
            [{"role": "user", "content": question}, {"role": "assistant", "content": response}]
            for response in responses
        ]
        return self.model.score(
            turns, aggregation_method=AggregationMethod.LAST, return_full_prm_result=True
        )


def main() -> None:
    told = settings()
    torch.set_num_threads(told["threads"])
    prm = RewardHub(told["name"])
    prm.model.model.register_forward_pre_hook(_count(prm), with_kwargs=True)

    def do(job: Job) -> Job:
        prm.levels, prm.scores, prm.tokens = [], [], 0
        steps = StepGeneration(max_steps=len(job["texts"]) - 1, step_token=SEPARATOR)
        search = BeamSearch(steps, prm, beam_width=job["beam_width"])
        asyncio.run(search.ainfer(Script(job["texts"]), job["questions"][0], job["beams"]))
        return {"scores": prm.scores, "tokens": prm.tokens, "levels": prm.levels}

    serve(do)


def _count(prm: RewardHub) -> Any:
    def count(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        prm.tokens += kwargs["input_ids"].numel()

    return count


main()
