"""A `Generator` on any Hugging Face causal LM: batched, with the keys and values kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rung.core.protocols import Sampling
from rung.core.types import Chain, Problem
from rung.generate.decoding import Row, Writer, ends_of
from rung.generate.prompting import (
    CONTEXT_TOKENS,
    Prompts,
    Written,
    continued,
    holds_step,
    no_answer,
    wanted,
)
from rung.generate.tokens import TokenChain, token_chain

MAX_BATCH_CHAINS = 256
MAX_KEPT_MIB = 1024


class _Request(NamedTuple):
    """One chain to write."""

    prefix: Chain
    prompt: tuple[int, ...]
    stream: str
    """Names the chain's own random numbers."""


@dataclass(frozen=True, slots=True)
class TransformersGenerator:
    """A policy: `TransformersGenerator(*rung.model.load_causal_lm(folder))`.

    The prompt is the question, the question separator, and each step so far with the step
    separator, every piece tokenized alone, which is how `rung train policy` shows chains. What
    the policy writes is cut into steps at the step separator; blank pieces make no steps.

    Every chain draws from random numbers of its own, named by the seed, its prefix and its
    place among that prefix's chains. So it doesn't depend on what else is sampled, but for the
    rounding of logits, which differs a little between batches. A prefix that is given twice in
    one call is continued in different ways.
    """

    model: Any
    tokenizer: Any
    name: str
    extract_answer: Callable[[str], str | None] = no_answer
    """Finds the final answer in the text of a chain that is at its end."""
    show: Callable[[Problem], str] | None = None
    """The prompt's text for a problem, chat markup and all; by default its question."""
    question_separator: str = "\n"
    step_separator: str = "\n"
    max_batch_chains: int = MAX_BATCH_CHAINS
    """Chains written side by side."""
    max_kept_mib: int = MAX_KEPT_MIB
    """Memory for the keys and values of prefixes between calls."""
    _prompts: Prompts = field(init=False, repr=False, compare=False)
    _writer: Writer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        prompts = Prompts(self.tokenizer, self.show, self.question_separator, self.step_separator)
        object.__setattr__(self, "_prompts", prompts)
        most, kept = self.max_batch_chains, self.max_kept_mib * 2**20
        writer = Writer(self.model, most_rows=most, max_kept_bytes=kept)
        object.__setattr__(self, "_writer", writer)

    @property
    def writes_inside_steps(self) -> bool:
        """It can go on in the middle of a step."""
        return True

    def prompt_tokens(self, problem: Problem) -> int:
        """Tokens that a problem's prompt has."""
        return len(self._prompts.ids(Chain(problem, ())))

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        """Continue each of B prefixes `n` ways.

        A chain's `source` tells how the policy's writing ended ("stop": by itself, "length":
        cut off by `max_tokens` or the context, None: the one step that was asked for is
        written), and counts the tokens of this call.
        """
        requests = self._requests(prefixes, n, sampling)
        rows = self._write(requests, sampling)
        pairs = zip(requests, rows, strict=True)
        chains = [
            self._chain(one, self._written(one, row, sampling), sampling) for one, row in pairs
        ]
        return [[chains[k * n + j] for j in range(n)] for k in range(len(prefixes))]

    def sample_tokens(
        self, prefixes: Sequence[Chain], n: int, sampling: Sampling
    ) -> list[list[TokenChain]]:
        """`sample` whole chains, each with its tokens; `sampling` asks for log-probabilities."""
        requests = self._requests(prefixes, n, sampling)
        rows = self._write(requests, sampling)
        chains = [self._tokens(*pair, sampling) for pair in zip(requests, rows, strict=True)]
        return [[chains[k * n + j] for j in range(n)] for k in range(len(prefixes))]

    def room(self, prefix: Chain) -> int:
        """Tokens that the context leaves for what is written behind a prefix; 0 or less: none."""
        return self._context() - len(self._prompts.ids(prefix))

    def forget(self) -> None:
        """Forget all kept prefixes: what is written then doesn't depend on earlier calls."""
        self._writer.memory.forget()

    def _write(self, requests: Sequence[_Request], sampling: Sampling) -> list[Row]:
        is_step = sampling.until == "step"
        return self._writer.write(
            [request.prompt for request in requests],
            [request.stream for request in requests],
            sampling,
            context=self._context(),
            ends=ends_of(self.model, self.tokenizer),
            at_stop=self._step_ends(sampling) if is_step else _never,
            drawn_logprobs=sampling.logprobs,
            keeps_written=is_step,
        )

    def _requests(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[_Request]:
        distinct = {prefix.prefix_id: prefix for prefix in prefixes}
        prompts = {
            name: self._prompts.ids(prefix, inside_step=sampling.inside_step)
            for name, prefix in distinct.items()
        }
        return [
            _Request(one.prefix, prompts[one.prefix.prefix_id], one.stream)
            for one in wanted(prefixes, n, sampling.seed)
        ]

    def _written(self, request: _Request, row: Row, sampling: Sampling) -> Written:
        behind = request.prompt[-CONTEXT_TOKENS:] if sampling.inside_step else ()
        text = self._prompts.decode(row.ids, behind)
        written = Written(text, row.finish_reason, row.num_tokens)
        if sampling.logprobs:
            drawn = self._prompts.drawn(row.ids, row.drawn_logprobs, behind)
            written = written._replace(drawn=drawn)
        return written

    def _chain(self, request: _Request, written: Written, sampling: Sampling) -> Chain:
        return continued(
            request.prefix,
            written,
            sampling,
            policy=self.name,
            separator=self.step_separator,
            extract_answer=self.extract_answer,
        )

    def _tokens(self, request: _Request, row: Row, sampling: Sampling) -> TokenChain:
        written = self._written(request, row, sampling)
        chain, before = self._chain(request, written, sampling), len(request.prefix.steps)
        separator = self.step_separator
        return token_chain(chain, before, request.prompt, row.ids, row.end, written, separator)

    def _step_ends(self, sampling: Sampling) -> Callable[[list[int]], bool]:
        """Whether a step has been written and its separator behind it."""
        separator, decode = self.step_separator, self._prompts.decode
        may_end: dict[int, bool] = {}

        def at_stop(ids: list[int]) -> bool:
            # Decode a whole row only where its last token could complete the separator;
            # U+FFFD stands for a part of a character.
            last = ids[-1]
            if last not in may_end:
                piece = decode([last])
                may_end[last] = separator[-1] in piece or "\ufffd" in piece
            return may_end[last] and holds_step(
                decode(ids), separator, inside_step=sampling.inside_step
            )

        return at_stop

    def _context(self) -> int:
        return int(self.model.config.max_position_embeddings)


def _never(ids: list[int]) -> bool:
    return False
