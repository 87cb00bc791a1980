"""JSON over HTTP, asked until there is an answer or no sense in it. Nothing but the library.

Safe to call from several threads at once.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from rung.core.errors import RungError, UnavailableError

T = TypeVar("T")
R = TypeVar("R")
ATTEMPTS = 6
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
"""What a server may ask for with Retry-After; limits are often counted by the minute."""
LIMIT_FACTOR = 4
"""How much longer than another failure a limit is waited for, where there is no Retry-After: so six
attempts span a minute."""
LIMIT, PASSING = 429, (408, 425, 429)
"""What a server answers to too many requests; and that and all below 500 that may pass."""
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


class PassingError(Exception):
    """A failure that may pass: the server is busy, starts anew, or the line broke.

    Nobody sees it but this module and what reads a stream for it: it is asked again, or becomes
    an `UnavailableError`.
    """

    def __init__(self, what: str, wait_s: float | None = None, factor: float = 1) -> None:
        super().__init__(what)
        self.wait_s = wait_s
        self.factor = factor
        """How much longer than usual to wait where `wait_s` is None."""


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
    says), is silent, breaks off or sends what is not JSON; waits longer each time, and for a limit
    (429) longer still.

    Raises:
        RefusedError: The server refuses.
        UnavailableError: It fails time after time.
        RungError: It answers in another shape.
    """
    return _persist(url, patience, lambda: _ask_once(url + path, body, kind, patience, headers))


def ask_events(
    url: str,
    path: str,
    body: Any,
    kind: type[T],
    read: Callable[[Iterator[T]], R],
    patience: Patience,
    *,
    headers: Mapping[str, str] | None = None,
) -> R:
    """What `read` makes of a stream of server-sent events, each decoded as `kind`.

    When `read` returns before the stream is over, the connection is closed, which tells the
    server to stop. A failure in the midst, or a `PassingError` of `read`, begins all anew.
    Errors as `ask_json`.
    """

    def attempt() -> R:
        with contextlib.closing(_events(url + path, body, kind, patience, headers)) as events:
            return read(events)

    return _persist(url, patience, attempt)


def _persist(url: str, patience: Patience, attempt: Callable[[], T]) -> T:
    for number in range(1, patience.attempts + 1):
        try:
            return attempt()
        except PassingError as failure:
            if number == patience.attempts:
                tries = f" ({number} attempts)" if number > 1 else ""
                raise UnavailableError(f"{url}: {failure}{tries}") from failure
            wait_s = patience.first_wait_s * 2 ** (number - 1) * (1 + random.random() / 4)
            time.sleep(min(failure.wait_s or wait_s * failure.factor, LONGEST_WAIT_S))
    raise AssertionError("unreachable: the last attempt returns or raises")


def _ask_once(
    url: str, body: Any, kind: type[T], patience: Patience, extra: Mapping[str, str] | None
) -> T:
    with _opened(url, body, patience, extra) as answer:
        return msgspec.json.decode(b"".join(_pieces(answer, patience.timeout_s)), type=kind)


def _events(
    url: str, body: Any, kind: type[T], patience: Patience, extra: Mapping[str, str] | None
) -> Generator[T]:
    """One attempt. The fields `event`, `id` and `retry` and comments are passed over."""
    with _opened(url, body, patience, extra) as answer:
        for line in _lines(_pieces(answer, patience.timeout_s)):
            name, _, data = line.partition(b":")
            if name == b"data" and data.strip() == b"[DONE]":
                return
            if name == b"data":
                yield msgspec.json.decode(data, type=kind)
            elif line.startswith((b"{", b"<")):
                raise RungError(f"{url}: the server does not stream")
        raise PassingError("the stream broke off")


@contextlib.contextmanager
def _opened(
    url: str, body: Any, patience: Patience, extra: Mapping[str, str] | None
) -> Generator[http.client.HTTPResponse]:
    """An answer that has begun. What goes wrong until it is read is said in our words."""
    data = None if body is None else msgspec.json.encode(body)
    headers = {"Content-Type": "application/json", **(extra or {})}
    timeout_s = patience.timeout_s
    try:
        request = urllib.request.Request(url, data, headers)
        with _OPENER.open(request, timeout=timeout_s) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(url, error) from error
    except msgspec.ValidationError as error:
        raise RungError(f"{url}: this is not what such a server answers ({error})") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PassingError(f"the answer is not whole JSON ({error})") from error
    except (ValueError, http.client.InvalidURL) as error:
        raise RungError(f"{url} is no address of a server ({error})") from error
    except http.client.HTTPException as error:
        raise PassingError(f"the answer broke off ({type(error).__name__})") from error
    except TimeoutError as error:
        raise PassingError(f"no answer within {timeout_s:g} s") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise PassingError(f"no answer within {timeout_s:g} s") from error
        raise PassingError(f"no server answers ({reason})") from error


def _pieces(answer: http.client.HTTPResponse, timeout_s: float) -> Iterator[bytes]:
    """The whole body. A server that sends a byte now and then has no more time than others."""
    size, end_s = 0, time.monotonic() + timeout_s
    while piece := answer.read1(_PIECE_BYTES):
        yield piece
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise PassingError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > end_s:
            raise TimeoutError
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines without their ends."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.rstrip(b"\r") for line in whole)
    yield rest


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    said = _message(error)
    if error.code in PASSING or error.code >= 500:
        factor = LIMIT_FACTOR if error.code == LIMIT else 1
        what = f"the server fails with {error.code}: {said}"
        return PassingError(what, _retry_after_s(error), factor)
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
