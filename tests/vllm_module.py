"""A module that stands in for vLLM's Python API: `LLM`, `SamplingParams`, and their outputs.

It has the fields of vLLM 0.32; test_vllm_generator.py asks the real engine where there is one.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from openai_stand_in import END, Script

SamplingParams = SimpleNamespace


def logprob_of(token: int) -> float:
    """What the policy says of each token that it writes."""
    return -0.1 * (token % 7 + 1)


class LLM:
    """Writes by a script, which goes on from the text of the prompt."""

    script: Script
    made: list["LLM"]

    def __init__(self, folder: str, **options: Any) -> None:
        from transformers import AutoTokenizer

        if not Path(folder).is_dir():
            raise ValueError(f"no model\n  in {folder}")
        self.tokenizer, self.options = AutoTokenizer.from_pretrained(folder), options
        self.model_config = SimpleNamespace(max_model_len=64)
        self.asked: list[tuple[str, Any]] = []
        self.made.append(self)

    def get_tokenizer(self) -> Any:
        return self.tokenizer

    def generate(self, prompts: Any, params: Any, *, use_tqdm: bool) -> list[Any]:
        pairs = zip(prompts, params, strict=True)
        return [self._answer(prompt["prompt_token_ids"], how) for prompt, how in pairs]

    def _answer(self, prompt: Sequence[int], how: Any) -> Any:
        assert len(prompt) + how.max_tokens <= self.model_config.max_model_len
        text = self.tokenizer.decode(prompt)
        self.asked.append((text, how))
        ids, reason, stop = self._write(self.script(text, how.seed), how)
        told = [{token: SimpleNamespace(logprob=logprob_of(token))} for token in ids]
        output = SimpleNamespace(
            token_ids=ids,
            logprobs=None if how.logprobs is None else told,
            finish_reason=reason,
            stop_reason=stop,
        )
        return SimpleNamespace(outputs=[output])

    def _write(self, texts: Sequence[str | None], how: Any) -> tuple[list[int], str, str | None]:
        ids: list[int] = []
        for text in texts:
            end = [self.tokenizer.eos_token_id]
            for token in end if text is END else self.tokenizer(text)["input_ids"]:
                ids.append(token)
                if text is END:
                    return ids, "stop", None
                for stop in how.stop or ():
                    if stop in self.tokenizer.decode(ids):
                        return ids, "stop", stop
                if len(ids) == how.max_tokens:
                    return ids, "length", None
        raise AssertionError("the script is too short")


def stand_in_for_vllm(script: Script) -> Any:
    """The module, with nothing made yet."""
    module = ModuleType("vllm")
    kind = type("LLM", (LLM,), {"script": staticmethod(script), "made": []})
    module.__dict__.update(LLM=kind, SamplingParams=SamplingParams)
    return module
