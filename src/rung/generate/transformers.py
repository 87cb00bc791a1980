"""A `Generator` on any Hugging Face causal LM: batched, with the keys and values kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rung.core.protocols import Sampling
from rung.core.types import Chain, Problem, Provenance, Step
from rung.generate.decoding import STOP, Row, ends_of, write

MAX_BATCH_CHAINS = 256
KEPT_PIECES = 2**16


def no_answer(text: str) -> str | None:
    """Find no final answer."""
    return None


class _Request(NamedTuple):
    """One chain to write."""

    place: int
    """Which of all chains of the call."""
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
    _ids: dict[str, list[int]] = field(
        default_factory=dict[str, list[int]], init=False, repr=False, compare=False
    )
    """Token ids of pieces: a search shows the same steps again and again."""

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        """Continue each of B prefixes `n` ways.

        A chain's `source` tells how the policy's writing ended ("stop": by itself, "length":
        cut off by `max_tokens` or the context, None: the one step that was asked for is
        written), and counts the tokens of this call.
        """
        self.model.eval()
        chains: dict[int, Chain] = {}
        for batch in _batches(self._requests(prefixes, n, sampling), self.max_batch_chains):
            rows = write(
                self.model,
                [request.prompt for request in batch],
                [request.stream for request in batch],
                sampling,
                context=self._context(),
                ends=ends_of(self.model, self.tokenizer),
                at_stop=self._step_ends() if sampling.until == "step" else _never,
            )
            for request, row in zip(batch, rows, strict=True):
                chains[request.place] = self._chain(request.prefix, row, sampling)
        return [[chains[k * n + j] for j in range(n)] for k in range(len(prefixes))]

    def _requests(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[_Request]:
        distinct = {prefix.prefix_id: prefix for prefix in prefixes}
        prompts = {name: self._prompt(prefix) for name, prefix in distinct.items()}
        seen = Counter[str]()
        requests: list[_Request] = []
        for prefix in prefixes:
            key = prefix.prefix_id
            for _ in range(n):
                stream = f"{sampling.seed} {key} {seen[key]}"
                requests.append(_Request(len(requests), prefix, prompts[key], stream))
                seen[key] += 1
        return requests

    def _prompt(self, prefix: Chain) -> tuple[int, ...]:
        separator = self._encode(self.step_separator)
        steps = [token for step in prefix.steps for token in self._encode(_shown(step)) + separator]
        if self.show is not None:  # markup holds special tokens, a start token among them
            text = self.show(prefix.problem)
            return (*self.tokenizer.encode(text, add_special_tokens=False), *steps)
        bos: int | None = self.tokenizer.bos_token_id
        question = self._encode(prefix.problem.question) + self._encode(self.question_separator)
        return (*([] if bos is None else [bos]), *question, *steps)

    def _encode(self, text: str) -> list[int]:
        if text not in self._ids:
            if len(self._ids) >= KEPT_PIECES:
                self._ids.clear()
            encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
            self._ids[text] = list(encoded["input_ids"])
        return self._ids[text]

    def _chain(self, prefix: Chain, row: Row, sampling: Sampling) -> Chain:
        pieces = self._decode(row.ids).split(self.step_separator)
        if sampling.until == "step":  # a token may reach beyond the separator
            pieces = [piece for piece in pieces if piece.strip()][:1]
        written = tuple(Step(piece) for piece in pieces if piece.strip())
        source = Provenance(
            policy=self.name,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            finish_reason=row.finish_reason,
            num_tokens=row.num_tokens,
        )
        chain = Chain(prefix.problem, (*prefix.steps, *written), source=source)
        if sampling.until == "step" and row.finish_reason != STOP:
            return chain
        answer = self.extract_answer(self.step_separator.join(chain.texts))
        return Chain(chain.problem, chain.steps, answer, source=source)

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def _step_ends(self) -> Callable[[list[int]], bool]:
        """Whether a step has been written and its separator behind it."""
        separator = self.step_separator
        may_end: dict[int, bool] = {}

        def at_stop(ids: list[int]) -> bool:
            # Decode a whole row only where its last token could complete the separator;
            # U+FFFD stands for a part of a character.
            last = ids[-1]
            if last not in may_end:
                piece = self._decode([last])
                may_end[last] = separator[-1] in piece or "\ufffd" in piece
            if not may_end[last]:
                return False
            head, *rest = self._decode(ids).lstrip().split(separator)
            return bool(rest) and bool(head.strip())

        return at_stop

    def _context(self) -> int:
        return int(self.model.config.max_position_embeddings)


def _never(ids: list[int]) -> bool:
    return False


def _shown(step: Step) -> str:
    return step.text if step.observation is None else f"{step.text}\n{step.observation}"


def _batches(requests: Sequence[_Request], most: int) -> Iterator[list[_Request]]:
    """Requests in batches of similar prompts, the longest first.

    Equal lengths need no mask, so a batch that is half full stays with its length.
    """
    batch: list[_Request] = []
    for request in sorted(requests, key=lambda r: (-len(r.prompt), r.place)):
        is_longer = bool(batch) and len(batch[-1].prompt) > len(request.prompt)
        if len(batch) == most or (is_longer and 2 * len(batch) >= most):
            yield batch
            batch = []
        batch.append(request)
    if batch:
        yield batch
