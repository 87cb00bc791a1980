"""A module that stands in for vLLM with a model of its own, which is given weights.

It has what `VllmGenerator` asks of vLLM 0.32 with the engine in the same process;
test_rl_vllm.py asks the real engine where there is one.
"""

import os
from collections.abc import Callable, Iterable
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from rung.generate.decoding import Row, Writer, ends_of


class LLM:
    """Draws from a model that begins with weights of its own; written prefixes count as kept."""

    made: list["LLM"]
    loads = True
    """Whether weights that it is given arrive."""
    resets = True
    """Whether it can forget prefixes now."""

    def __init__(self, folder: str, **options: Any) -> None:
        assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0", "no tensor reaches the engine"
        assert options["load_format"] == "dummy"
        with torch.random.fork_rng():
            self.model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).eval()
        self.tokenizer, self.options = AutoTokenizer.from_pretrained(folder), options
        self.model_config = SimpleNamespace(max_model_len=options["max_model_len"])
        self.keeps_old = False
        self.calls: list[str] = []
        self.asked: list[Any] = []
        self.made.append(self)

    def get_tokenizer(self) -> Any:
        return self.tokenizer

    def collective_rpc(self, method: str, *, kwargs: dict[str, Any]) -> None:
        assert method == "reload_weights"
        self.calls.append("weights")
        given: Iterable[tuple[str, torch.Tensor]] = kwargs["weights_iterator"]
        weights = dict(given)
        expected = self.model.state_dict()
        if strange := weights.keys() - expected.keys():
            raise ValueError(f"There is no module or parameter named\n {strange}")
        if self.loads:
            self.model.load_state_dict(weights, strict=False)
            self.keeps_old = True

    def apply_model(self, change: Callable[[Any], None]) -> None:
        change(self.model)

    def reset_prefix_cache(self) -> bool:
        self.keeps_old = self.keeps_old and not self.resets
        return self.resets

    def generate(self, prompts: Any, params: Any, *, use_tqdm: bool) -> list[Any]:
        assert not self.keeps_old, "keys and values of other weights"
        self.calls.append("write")
        self.asked += params
        writer = Writer(self.model, most_rows=256, max_kept_bytes=0)
        (how,) = {(p.temperature, p.top_p) for p in params}
        drawing = SimpleNamespace(
            temperature=how[0], top_p=how[1], max_tokens=max(p.max_tokens for p in params)
        )
        rows = writer.write(
            [tuple(prompt["prompt_token_ids"]) for prompt in prompts],
            [str(p.seed) for p in params],
            drawing,
            context=self.model_config.max_model_len,
            ends=ends_of(self.model, self.tokenizer),
            at_stop=lambda ids: False,
            drawn_logprobs=True,
        )
        return [SimpleNamespace(outputs=[_output(row)]) for row in rows]


def _output(row: Row) -> Any:
    ids = [*row.ids, *([] if row.end is None else [row.end])]
    told = zip(ids, row.drawn_logprobs, strict=True)
    return SimpleNamespace(
        token_ids=ids,
        logprobs=[{token: SimpleNamespace(logprob=logprob)} for token, logprob in told],
        finish_reason=row.finish_reason,
        stop_reason=None,
    )


def model_for_vllm(**changed: Any) -> Any:
    """The module, with nothing made yet."""
    module = ModuleType("vllm")
    kind = type("LLM", (LLM,), {"made": [], **changed})
    module.__dict__.update(LLM=kind, SamplingParams=SimpleNamespace)
    return module
