"""A `Completer` behind an OpenAI-compatible server that speaks of tokens by their ids: vLLM.

Prompts go there as ids, so no server adds a second start token, and log-probabilities come back by
id. A request is one prompt; the server batches them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Literal, NamedTuple

import msgspec

from rung.core.errors import RungError
from rung.core.http import Patience, ask_json
from rung.core.protocols import Completing, Completion
from rung.score.server import bearer, find_served

AT_ONCE = 64
"""Requests under way together."""
TIMEOUT_S = 3600.0
"""A thought of 8,192 tokens behind a queue takes long."""
_BY_ID = "token_id:"


class _Logprobs(msgspec.Struct):
    top_logprobs: list[dict[str, float]] | None = None


class _Choice(msgspec.Struct):
    text: str
    token_ids: list[int] | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    """The stop string or the stop token; None where the end token or `max_tokens` ended it."""


class _Answer(msgspec.Struct):
    choices: list[_Choice]


class _Request(NamedTuple):
    ids: list[int]
    seed: int


@dataclass(frozen=True, slots=True)
class ServerCompleter:
    """One model on one server. Safe to call from several threads at once."""

    url: str
    """As ``http://localhost:8000``."""
    name: str
    """The name under which the server has the model."""
    tokenizer: Any
    """The model's."""
    max_tokens: int | None = None
    """The context that the server was started with; None: it does not say."""
    patience: Patience = field(default_factory=lambda: Patience(timeout_s=TIMEOUT_S))
    key: str | None = field(default=None, repr=False)
    """The token that the server asks for."""

    def complete(self, prompts: Sequence[str], how: Completing) -> list[Completion]:
        """One completion a prompt, in order; each has a seed of its own.

        Raises:
            UnavailableError: The server fails time after time.
            RungError: It refuses, or gives no token ids.
        """
        requests = self._requests(prompts, how)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(self._ask, requests, repeat(how)))

    def _requests(self, prompts: Sequence[str], how: Completing) -> list[_Request]:
        seen = Counter[str]()
        requests: list[_Request] = []
        for prompt in prompts:
            named = f"{how.seed} {seen[prompt]} {prompt}".encode("utf-8", "surrogatepass")
            seed = int.from_bytes(hashlib.blake2b(named, digest_size=4).digest(), "big")
            requests.append(_Request(self._encode(prompt), seed))
            seen[prompt] += 1
        return requests

    def _encode(self, prompt: str) -> list[int]:
        bos = self.tokenizer.bos_token
        is_begun = bos is not None and prompt.startswith(bos)
        return self.tokenizer.encode(prompt, add_special_tokens=not is_begun)

    def _ask(self, request: _Request, how: Completing) -> Completion:
        room = how.max_tokens if self.max_tokens is None else self.max_tokens - len(request.ids)
        if room <= 0:
            return Completion("", finish_reason="length")
        body = self._body(request, how, min(room, how.max_tokens))
        headers = bearer(self.key)
        answer = ask_json(
            self.url, "/v1/completions", body, _Answer, self.patience, headers=headers
        )
        if len(answer.choices) != 1:
            raise RungError(f"{self.url} gave {len(answer.choices)} answers to one prompt")
        return self._completion(answer.choices[0])

    def _body(self, request: _Request, how: Completing, max_tokens: int) -> Mapping[str, Any]:
        told = {
            "model": self.name,
            "prompt": request.ids,
            "seed": request.seed,
            "max_tokens": max_tokens,
            "temperature": how.temperature,
            "top_p": how.top_p,
            "top_k": how.top_k,
            "stop": list(how.stop) or None,
            "logprobs": how.num_logprobs or None,
            # vLLM gives these alone then; servers that don't know the field give the likeliest
            "logprob_token_ids": list(how.logprobs_of) or None,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "skip_special_tokens": False,
        }
        return {name: value for name, value in told.items() if value is not None}

    def _completion(self, choice: _Choice) -> Completion:
        if choice.token_ids is None:
            raise RungError(f"{self.url} gives no token ids, which this model's scores are read by")
        found = choice.logprobs.top_logprobs if choice.logprobs else None
        top = tuple({self._id(key): value for key, value in row.items()} for row in found or ())
        stop = choice.stop_reason if isinstance(choice.stop_reason, str) else None
        is_cut = choice.finish_reason == "length"
        reason: Literal["stop", "length"] = "length" if is_cut else "stop"
        # what ended it is a token without text, unless it was a stop string or the limit
        end = None if is_cut or stop is not None else -1
        return Completion(choice.text, tuple(choice.token_ids[:end]), top[:end], stop, reason)

    def _id(self, key: str) -> int:
        number = key.removeprefix(_BY_ID)
        if number == key or not number.isdecimal():
            raise RungError(f"{self.url} names tokens by their text ({key!r}), expected their ids")
        return int(number)


def server_completer(
    url: str, wanted: str, tokenizer: Any, key: str | None = None
) -> ServerCompleter:
    """The model called `wanted` on a server, or its only one.

    Raises:
        UnavailableError: Nobody answers there.
        RungError: It is not clear which model is meant.
    """
    url = url.rstrip("/")
    served = find_served(url, wanted, key)
    return ServerCompleter(url, served.id, tokenizer, served.max_model_len, key=key)
