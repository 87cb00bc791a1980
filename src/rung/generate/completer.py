"""A `Completer` on any Hugging Face causal LM: batched, with the keys and values kept."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rung.core.protocols import Completing, Completion
from rung.generate.decoding import Row, Writer, ends_of
from rung.generate.prompting import LENGTH

MAX_BATCH_PROMPTS = 64
MAX_KEPT_MIB = 1024
TAIL_TOKENS = 8
"""Tokens decoded beyond what a stop string can have, so that a cut character before it is whole."""


class _Request(NamedTuple):
    """One prompt to complete."""

    ids: tuple[int, ...]
    stream: str
    """Names the completion's own random numbers."""


@dataclass(frozen=True, slots=True)
class TransformersCompleter:
    """A language model as it is: `TransformersCompleter(*rung.model.load_causal_lm(folder))`.

    Every completion draws from random numbers of its own, named by the seed, the prompt and how
    often the prompt came before it in the call. So it doesn't depend on what else is completed,
    but for the rounding of logits.

    The tokenizer's start token is put before a prompt that does not begin with it. (vLLM and
    SGLang put a second one before prompts from a chat template that writes it.)
    """

    model: Any
    tokenizer: Any
    name: str
    max_batch_prompts: int = MAX_BATCH_PROMPTS
    """Prompts completed side by side."""
    max_kept_mib: int = MAX_KEPT_MIB
    """Memory for the keys and values of prompts and completions between calls."""
    _writer: Writer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        most, kept = self.max_batch_prompts, self.max_kept_mib * 2**20
        writer = Writer(self.model, most_rows=most, max_kept_bytes=kept)
        object.__setattr__(self, "_writer", writer)

    def complete(self, prompts: Sequence[str], how: Completing) -> list[Completion]:
        """One completion a prompt, in order."""
        rows = self._write(self._requests(prompts, how.seed), how)
        return [self._completion(row, how.stop) for row in rows]

    def _requests(self, prompts: Sequence[str], seed: int) -> list[_Request]:
        seen = Counter[str]()
        ids_of = {prompt: self._encode(prompt) for prompt in dict.fromkeys(prompts)}
        requests: list[_Request] = []
        for prompt in prompts:
            key = hashlib.blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=12)
            stream = f"{seed} {key.hexdigest()} {seen[prompt]}"
            requests.append(_Request(ids_of[prompt], stream))
            seen[prompt] += 1
        return requests

    def _encode(self, prompt: str) -> tuple[int, ...]:
        bos = self.tokenizer.bos_token
        is_begun = bos is not None and prompt.startswith(bos)
        return tuple(self.tokenizer.encode(prompt, add_special_tokens=not is_begun))

    def _write(self, requests: Sequence[_Request], how: Completing) -> list[Row]:
        return self._writer.write(
            [request.ids for request in requests],
            [request.stream for request in requests],
            how,
            context=int(self.model.config.max_position_embeddings),
            ends=ends_of(self.model, self.tokenizer),
            at_stop=self._at_stop(how.stop),
            top_k=how.top_k,
            num_logprobs=how.num_logprobs,
            logprobs_of=how.logprobs_of,
        )

    def _completion(self, row: Row, stops: Sequence[str]) -> Completion:
        text = self._decode(row.ids)
        found = [(at, stop) for stop in stops if (at := text.find(stop)) >= 0]
        at, stop = min(found, default=(len(text), None))
        is_cut = stop is None and row.finish_reason == LENGTH
        reason = "length" if is_cut else "stop"
        return Completion(text[:at], tuple(row.ids), tuple(row.logprobs), stop, reason)

    def _at_stop(self, stops: Sequence[str]) -> Callable[[list[int]], bool]:
        """Whether a stop string has been written; a token has at least one byte of it."""
        longest = max((len(stop.encode()) for stop in stops), default=0)

        def at_stop(ids: list[int]) -> bool:
            if not longest:
                return False
            tail = self._decode(ids[-longest - TAIL_TOKENS :])
            return any(stop in tail for stop in stops)

        return at_stop

    def _decode(self, ids: Sequence[int]) -> str:
        """The text with all that the model wrote, special tokens too."""
        return self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
