"""A vLLM server's pooling endpoint: token ids in, rows of logits out. Nothing but the library.

L is the number of labels, a row's length.
"""

from __future__ import annotations

import http.client
import random
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from rung.core.errors import RungError, UnavailableError

T = TypeVar("T")
Rows = list[list[float]]
"""Logits: a row a token, or a row a step tag."""
ATTEMPTS = 6
FIRST_WAIT_S = 0.5
"""Doubled after each failure, so six attempts span a quarter of a minute."""
LONGEST_WAIT_S = 30.0
"""What a server may ask for with Retry-After."""
TIMEOUT_S = 300.0
EXCERPT = 300
"""Characters of a server's own words that an error repeats."""


class Served(msgspec.Struct):
    """A model that the server has."""

    id: str
    max_model_len: int | None = None


class _Models(msgspec.Struct):
    data: list[Served]


class _Pooled(msgspec.Struct):
    index: int
    data: Rows


class _Pooling(msgspec.Struct):
    data: list[_Pooled]


class _Passing(Exception):
    """A failure that may pass: the server is busy, starts anew, or the line broke."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class PoolingServer:
    """One model on one server. Safe to call from several threads at once."""

    url: str
    """As ``http://localhost:8000``."""
    model: str
    """The name under which the server has it."""
    attempts: int = ATTEMPTS
    first_wait_s: float = FIRST_WAIT_S
    timeout_s: float = TIMEOUT_S

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
        answer = self._ask("/pooling", body, _Pooling)
        pooled = sorted(answer.data, key=lambda one: one.index)
        if [one.index for one in pooled] != list(range(len(ids_BT))):
            raise RungError(f"{self.url} gave {len(pooled)} answers to {len(ids_BT)} sequences")
        return [one.data for one in pooled]

    def _ask(self, path: str, body: Any, kind: type[T]) -> T:
        """Ask until there is an answer, or no sense in it."""
        for attempt in range(1, self.attempts + 1):
            try:
                return _ask_once(self.url + path, body, kind, self.timeout_s)
            except _Passing as failure:
                if attempt == self.attempts:
                    tries = f"{attempt} attempts" if attempt > 1 else "1 attempt"
                    raise UnavailableError(f"{self.url}: {failure} ({tries})") from failure
                wait_s = self.first_wait_s * 2 ** (attempt - 1) * (1 + random.random() / 4)
                time.sleep(min(failure.wait_s or wait_s, LONGEST_WAIT_S))
        raise AssertionError("unreachable: the last attempt returns or raises")


def connect(url: str, wanted: str) -> PoolingServer:
    """Find the model on a server: the one called `wanted`, or the only one.

    Raises:
        UnavailableError: Nobody answers there.
        RungError: It is not clear which model is meant.
    """
    url = url.rstrip("/")
    try:
        models = _ask_once(f"{url}/v1/models", None, _Models, TIMEOUT_S).data
    except _Passing as failure:
        raise UnavailableError(f"{url}: {failure}") from failure
    names = [model.id for model in models]
    if wanted in names or len(names) == 1:
        return PoolingServer(url, wanted if wanted in names else names[0])
    raise RungError(f"{url} has no model {wanted!r}, only {', '.join(names) or 'none'}")


def _ask_once(url: str, body: Any, kind: type[T], timeout_s: float) -> T:
    data = None if body is None else msgspec.json.encode(body)
    try:
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return msgspec.json.decode(answer.read(), type=kind)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(url, error) from error
    except msgspec.ValidationError as error:
        raise RungError(f"{url}: this is not what a vLLM server answers ({error})") from error
    except msgspec.DecodeError as error:
        raise _Passing(f"the answer is not whole JSON ({error})") from error
    except (ValueError, http.client.InvalidURL) as error:
        raise RungError(f"{url} is no address of a server ({error})") from error
    except http.client.HTTPException as error:
        raise _Passing(f"the answer broke off ({type(error).__name__})") from error
    except TimeoutError as error:
        raise _Passing(f"no answer within {timeout_s:g} s") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise _Passing(f"no answer within {timeout_s:g} s") from error
        raise _Passing(f"no server answers ({reason})") from error


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    said = _message(error)
    if error.code == 429 or error.code >= 500:
        return _Passing(f"the server fails with {error.code}: {said}", _retry_after_s(error))
    return RungError(f"{url}: the server refuses with {error.code}: {said}")


def _retry_after_s(error: urllib.error.HTTPError) -> float | None:
    asked = error.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else None


def _message(error: urllib.error.HTTPError) -> str:
    """The server's own words: vLLM's error message, else the body's beginning."""
    try:
        body = error.read()
    except (OSError, http.client.HTTPException):
        return error.reason
    try:
        said = msgspec.json.decode(body)["error"]["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        said = body.decode("utf-8", "replace")
    words = " ".join(str(said).split())
    return words[:EXCERPT] or error.reason
