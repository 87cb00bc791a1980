"""A `Completer` on any Hugging Face causal LM: batched, with the keys and values kept."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rung.core.protocols import Completing, Completion
from rung.generate.decoding import Row, ends_of, write
from rung.generate.prompting import LENGTH

MAX_BATCH_PROMPTS = 64
TAIL_TOKENS = 8
"""Tokens decoded beyond what a stop string can have, so that a cut character before it is whole."""


class _Request(NamedTuple):
    """One prompt to complete."""

    place: int
    """Which of all prompts of the call."""
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

    def complete(self, prompts: Sequence[str], how: Completing) -> list[Completion]:
        """One completion a prompt, in order; prompts of similar length go together."""
        self.model.eval()
        requests = sorted(self._requests(prompts, how.seed), key=lambda r: (-len(r.ids), r.place))
        completions: dict[int, Completion] = {}
        for start in range(0, len(requests), self.max_batch_prompts):
            batch = requests[start : start + self.max_batch_prompts]
            for request, row in zip(batch, self._write(batch, how), strict=True):
                completions[request.place] = self._completion(row, how.stop)
        return [completions[place] for place in range(len(prompts))]

    def _requests(self, prompts: Sequence[str], seed: int) -> list[_Request]:
        seen = Counter[str]()
        ids_of = {prompt: self._encode(prompt) for prompt in dict.fromkeys(prompts)}
        requests: list[_Request] = []
        for place, prompt in enumerate(prompts):
            key = hashlib.blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=12)
            stream = f"{seed} {key.hexdigest()} {seen[prompt]}"
            requests.append(_Request(place, ids_of[prompt], stream))
            seen[prompt] += 1
        return requests

    def _encode(self, prompt: str) -> tuple[int, ...]:
        bos = self.tokenizer.bos_token
        is_begun = bos is not None and prompt.startswith(bos)
        return tuple(self.tokenizer.encode(prompt, add_special_tokens=not is_begun))

    def _write(self, batch: Sequence[_Request], how: Completing) -> list[Row]:
        return write(
            self.model,
            [request.ids for request in batch],
            [request.stream for request in batch],
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
