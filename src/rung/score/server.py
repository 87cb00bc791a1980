"""A vLLM server's pooling endpoint: token ids in, rows of logits out.

L is the number of labels, a row's length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from rung.core.errors import RungError
from rung.core.http import Patience, ask_json

Rows = list[list[float]]
"""Logits: a row a token, or a row a step tag."""


class _Meta(msgspec.Struct):
    n_ctx: int | None = None


class Served(msgspec.Struct):
    """A model that the server has."""

    id: str
    owned_by: str | None = None
    """The server's software: "vllm" or "llamacpp", for instance."""
    max_model_len: int | None = None
    meta: _Meta | None = None

    @property
    def context(self) -> int | None:
        """Tokens that a text may have, as vLLM or llama.cpp tells it; None: it is not told."""
        return self.max_model_len or (self.meta.n_ctx if self.meta else None)


class _Models(msgspec.Struct):
    data: list[Served]


class _Pooled(msgspec.Struct):
    index: int
    data: Rows


class _Pooling(msgspec.Struct):
    data: list[_Pooled]


@dataclass(frozen=True, slots=True)
class PoolingServer:
    """One model on one server. Safe to call from several threads at once."""

    url: str
    """As ``http://localhost:8000``."""
    model: str
    """The name under which the server has it."""
    patience: Patience = field(default_factory=Patience)
    key: str | None = field(default=None, repr=False)
    """The token that the server asks for."""

    def rows(self, ids_BT: Sequence[Sequence[int]]) -> list[Rows]:
        """The logits of B sequences, rows of L numbers (see `rung.model.serving`).

        Tries again when the server is overloaded, fails or is silent.

        Raises:
            UnavailableError: The server fails time after time.
            RungError: The server refuses.
        """
        body = {"model": self.model, "input": ids_BT, "task": "token_classify"}
        # raw logits, whatever the server was started with: we know how the family reads them
        body |= {"use_activation": False, "encoding_format": "float"}
        headers = bearer(self.key)
        answer = ask_json(self.url, "/pooling", body, _Pooling, self.patience, headers=headers)
        pooled = sorted(answer.data, key=lambda one: one.index)
        if [one.index for one in pooled] != list(range(len(ids_BT))):
            raise RungError(f"{self.url} gave {len(pooled)} answers to {len(ids_BT)} sequences")
        return [one.data for one in pooled]


def find_served(url: str, wanted: str, key: str | None = None) -> Served:
    """The model of a server: the one called `wanted`, or the only one.

    Raises:
        UnavailableError: Nobody answers there.
        RungError: It is not clear which model is meant.
    """
    once = Patience(attempts=1)
    models = ask_json(url, "/v1/models", None, _Models, once, headers=bearer(key)).data
    by_name = {model.id: model for model in models}
    if wanted in by_name or len(models) == 1:
        return by_name.get(wanted, models[0])
    raise RungError(f"{url} has no model {wanted!r}, only {', '.join(by_name) or 'none'}")


def connect(url: str, wanted: str, key: str | None = None) -> PoolingServer:
    """The pooling endpoint for a model: the one called `wanted`, or the only one (`find_served`).

    Raises:
        RungError: There is no such model, or no such server.
    """
    url = url.rstrip("/")
    return PoolingServer(url, find_served(url, wanted, key).id, key=key)


def bearer(key: str | None) -> dict[str, str]:
    """The headers that bring a token; none without one."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}
