"""A `Completer` behind a server that speaks of tokens by their ids: vLLM's or llama.cpp's.

Prompts go there as ids, so no server adds a second start token, and log-probabilities come back by
id. A request is one prompt; the server batches them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from rung.core.errors import RungError
from rung.core.http import Patience, ask_json
from rung.core.protocols import Completing, Completion
from rung.score.completion_apis import LLAMA_CPP, VLLM, CompletionApi, Request
from rung.score.server import bearer, find_served

AT_ONCE = 64
"""Requests under way together."""
TIMEOUT_S = 3600.0
"""A thought of 8,192 tokens behind a queue takes long."""


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
    api: CompletionApi = VLLM
    """What the server speaks."""

    def complete(self, prompts: Sequence[str], how: Completing) -> list[Completion]:
        """One completion a prompt, in order; each has a seed of its own.

        Raises:
            UnavailableError: The server fails time after time.
            RungError: It refuses, or gives no token ids.
        """
        requests = self._requests(prompts, how)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(self._ask, requests, repeat(how)))

    def _requests(self, prompts: Sequence[str], how: Completing) -> list[Request]:
        seen = Counter[str]()
        requests: list[Request] = []
        for prompt in prompts:
            named = f"{how.seed} {seen[prompt]} {prompt}".encode("utf-8", "surrogatepass")
            seed = int.from_bytes(hashlib.blake2b(named, digest_size=4).digest(), "big")
            ids = self._encode(prompt)
            room = how.max_tokens if self.max_tokens is None else self.max_tokens - len(ids)
            requests.append(Request(self.name, ids, seed, min(room, how.max_tokens)))
            seen[prompt] += 1
        return requests

    def _encode(self, prompt: str) -> list[int]:
        bos = self.tokenizer.bos_token
        is_begun = bos is not None and prompt.startswith(bos)
        return self.tokenizer.encode(prompt, add_special_tokens=not is_begun)

    def _ask(self, request: Request, how: Completing) -> Completion:
        if request.max_tokens <= 0:
            return Completion("", finish_reason="length")
        api, headers = self.api, bearer(self.key)
        body = api.body(request, how)
        answer = ask_json(self.url, api.path, body, api.answer, self.patience, headers=headers)
        try:
            return api.completion(answer)
        except RungError as error:
            raise RungError(f"{self.url}: {error}") from error


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
    api = LLAMA_CPP if served.owned_by == "llamacpp" else VLLM
    return ServerCompleter(url, served.id, tokenizer, served.context, key=key, api=api)
