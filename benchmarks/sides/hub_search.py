"""its-hub's beam search and particle filtering, with the same policy and PRM as rung.

its-hub ships neither a local language model nor a PRM for this checkpoint, so both are written
here as one would: Hugging Face's `generate` on the whole batch that its-hub asks for, and one
padded forward pass over the whole batch of prefixes that it wants scored.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import numpy as np
import torch
from its_hub.api import AbstractLanguageModel, AbstractProcessRewardModel
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.algorithms.particle_gibbs import ParticleGibbs
from its_hub.core.lms.step_generation import StepGeneration
from side import Job, serve, settings
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, AutoTokenizer

END, SEPARATOR = "<end>", "\n"


class Policy(AbstractLanguageModel):
    """One step behind each conversation."""

    def __init__(self, folder: str, max_tokens: int) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        [newline] = self.tokenizer.encode(SEPARATOR, add_special_tokens=False)
        self.stops = [newline, self.tokenizer.eos_token_id]
        self.max_tokens, self.tokens = max_tokens, 0

    async def agenerate(self, messages: Any, **_: Any) -> list[dict[str, str]]:
        """its-hub asks for all of a level at once."""
        texts = [
            conversation[0].content
            + SEPARATOR
            + "".join(message.content for message in conversation[1:])
            for conversation in messages
        ]
        batch = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                do_sample=True,
                temperature=1.0,
                top_k=0,
                max_new_tokens=self.max_tokens,
                eos_token_id=self.stops,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        return [self._message(ids) for ids in out[:, batch["input_ids"].shape[1] :].tolist()]

    def _message(self, ids: list[int]) -> dict[str, str]:
        pads = self.tokenizer.pad_token_id
        written = [token for token in ids if token != pads]
        self.tokens += len(written)
        text = self.tokenizer.decode(
            [token for token in written if token not in self.stops],
            clean_up_tokenization_spaces=False,
        )
        is_over = bool(written) and written[-1] == self.tokenizer.eos_token_id
        return {"role": "assistant", "content": text + END if is_over else text}


class Prm(AbstractProcessRewardModel):
    """Scores whole prefixes by their weakest step."""

    def __init__(self, folder: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForTokenClassification.from_pretrained(folder, num_labels=1)
        self.model = model.eval()
        self.tokens = 0

    async def ascore(self, prompt: Any, responses: Any) -> list[float]:
        """One number a response."""
        rows = [self._row(prompt, response) for response in responses]
        width = max(len(ids) for ids, _ in rows)
        self.tokens += sum(len(ids) for ids, _ in rows)
        ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in rows])
        mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in rows])
        with torch.inference_mode():
            logits = self.model(input_ids=ids, attention_mask=mask).logits[..., 0]
        scores = torch.sigmoid(logits)
        return [float(scores[k, reads].min()) for k, (_, reads) in enumerate(rows)]

    def score(self, prompt: Any, responses: Any) -> list[float]:
        """`ascore`, waited for."""
        return asyncio.run(self.ascore(prompt, responses))

    def _row(self, question: str, response: str) -> tuple[list[int], list[int]]:
        ids, reads = self._ids(question) + self._ids(SEPARATOR), []
        for step in response.replace(END, "").split(SEPARATOR):
            ids += self._ids(step) + self._ids(SEPARATOR)
            reads.append(len(ids) - 1)
        return ids, reads

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)


def main() -> None:
    told = settings()
    torch.set_num_threads(told["threads"])
    policy, prm = Policy(told["policy"], told["max_tokens"]), Prm(told["prm"])
    steps = StepGeneration(told["max_steps"], step_token=SEPARATOR, stop_token=END, temperature=1.0)

    def do(job: Job) -> Job:
        torch.manual_seed(job["seed"])
        np.random.seed(job["seed"])
        random.seed(job["seed"])
        policy.tokens = prm.tokens = 0
        search: Any = (
            BeamSearch(steps, prm, beam_width=job["n"] // job["width"])
            if job["algorithm"] == "beam"
            else ParticleGibbs(steps, prm, num_iterations=1)
        )
        texts = [
            asyncio.run(search.ainfer(policy, question, job["n"]))["content"]
            for question in job["questions"]
        ]
        found = [text.replace(END, "").split(SEPARATOR) for text in texts]
        return {"steps": found, "sampled": policy.tokens, "scored": prm.tokens}

    serve(do)


main()
