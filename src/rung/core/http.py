"""JSON over HTTP, asked until there is an answer or no sense in it. Nothing but the library.

Safe to call from several threads at once.
"""

from __future__ import annotations

import email.utils
import http.client
import random
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from rung.core.errors import RungError, UnavailableError

T = TypeVar("T")
ATTEMPTS = 6
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
"""What a server may ask for with Retry-After; limits are often counted by the minute."""
TIMEOUT_S = 300.0
EXCERPT = 300
"""Characters of a server's own words that an error repeats."""
MAX_ANSWER_BYTES = 2**28
_PIECE_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is borne with."""

    attempts: int = ATTEMPTS
    first_wait_s: float = FIRST_WAIT_S
    """Doubled after each failure, so six attempts span a quarter of a minute."""
    timeout_s: float = TIMEOUT_S
    """For a whole answer."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise RungError(f"a server gets {self.attempts} attempts, expected at least 1")
        if not self.timeout_s > 0:
            raise RungError(f"the timeout is {self.timeout_s} s, expected above 0")


class RefusedError(RungError):
    """The server understood and won't: asking again does not help."""

    def __init__(self, url: str, status: int, said: str) -> None:
        super().__init__(f"{url}: the server refuses with {status}: {said}")
        self.status = status


class _Passing(Exception):
    """A failure that may pass: the server is busy, starts anew, or the line broke."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A key must not travel on to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def ask_json(
    url: str,
    path: str,
    body: Any,
    kind: type[T],
    patience: Patience,
    *,
    headers: Mapping[str, str] | None = None,
) -> T:
    """The answer of the server at `url` to `body` (None: to a GET) at `path`, decoded as `kind`.

    Asks again when the server is overloaded (429, or 5xx, and then no sooner than its Retry-After
    says), is silent, breaks off or sends what is not JSON; waits longer each time.

    Raises:
        RefusedError: The server refuses.
        UnavailableError: It fails time after time.
        RungError: It answers in another shape.
    """
    for attempt in range(1, patience.attempts + 1):
        try:
            return _ask_once(url + path, body, kind, patience.timeout_s, headers or {})
        except _Passing as failure:
            if attempt == patience.attempts:
                tries = f" ({attempt} attempts)" if attempt > 1 else ""
                raise UnavailableError(f"{url}: {failure}{tries}") from failure
            wait_s = patience.first_wait_s * 2 ** (attempt - 1) * (1 + random.random() / 4)
            time.sleep(min(failure.wait_s or wait_s, LONGEST_WAIT_S))
    raise AssertionError("unreachable: the last attempt returns or raises")


def _ask_once(url: str, body: Any, kind: type[T], timeout_s: float, extra: Mapping[str, str]) -> T:
    data = None if body is None else msgspec.json.encode(body)
    headers = {"Content-Type": "application/json", **extra}
    try:
        request = urllib.request.Request(url, data, headers)
        with _OPENER.open(request, timeout=timeout_s) as answer:
            return msgspec.json.decode(_read(answer, timeout_s), type=kind)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(url, error) from error
    except msgspec.ValidationError as error:
        raise RungError(f"{url}: this is not what such a server answers ({error})") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
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


def _read(answer: http.client.HTTPResponse, timeout_s: float) -> bytes:
    """The whole body. A server that sends a byte now and then has no more time than others."""
    pieces, size, end_s = list[bytes](), 0, time.monotonic() + timeout_s
    while piece := answer.read1(_PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise _Passing(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > end_s:
            raise TimeoutError
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    return b"".join(pieces)


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    said = _message(error)
    if error.code == 429 or error.code >= 500:
        return _Passing(f"the server fails with {error.code}: {said}", _retry_after_s(error))
    return RefusedError(url, error.code, said)


def _retry_after_s(error: urllib.error.HTTPError) -> float | None:
    """Seconds, or the time until a date (RFC 9110, 10.2.3)."""
    asked = error.headers.get("Retry-After", "").strip()
    if asked.replace(".", "", 1).isdecimal():
        return float(asked)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return None


def _message(error: urllib.error.HTTPError) -> str:
    """The server's own words: an error message as vLLM and OpenAI give it, else the beginning."""
    try:
        body = error.read(_PIECE_BYTES)
    except (OSError, http.client.HTTPException):
        return error.reason
    try:
        said = msgspec.json.decode(body)["error"]["message"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        said = body.decode("utf-8", "replace")
    words = " ".join(str(said).split())
    return words[:EXCERPT] or error.reason
