"""Bodies are bounded while they are read, in size and in time.

A body is read whole before anybody works on it: whoever sends slowly holds a connection, and
nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rung.serve.refusal import refusal

CLOSE = {"Connection": "close"}
"""What is left of a refused body is not waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a client may send, and how long it may take."""

    max_body_bytes: int = 2**24
    max_total_bytes: int = 2**28
    """Of all bodies that are in memory at once."""
    body_timeout_s: float = 30.0
    """From the head to the body's end."""


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = CLOSE if status != 503 else {**CLOSE, "Retry-After": "1"}


class _GoneError(Exception):
    """The client went away before its body was here."""


class BoundedBodies:
    """ASGI middleware: gives the app whole bodies, or the client a 413, a 408 or a 503."""

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        self._app = app
        self._bounds = bounds
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Meet one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            refused = await self._refused(scope, receive, body)
            if refused is not None:
                await refusal(refused.status, str(refused), refused.headers)(scope, receive, send)
            else:
                await self._app(scope, _replay(body, receive), send)
        except _GoneError:
            return
        finally:
            self._held_bytes -= len(body)

    async def _refused(
        self, scope: Scope, receive: Receive, body: bytearray
    ) -> _RefusedError | None:
        """Read the body; what is wrong with it."""
        limit_s = self._bounds.body_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await self._read(scope, receive, body)
        except TimeoutError:
            return _RefusedError(408, f"the body did not come within {limit_s:g} s")
        except _RefusedError as error:
            return error
        return None

    async def _read(self, scope: Scope, receive: Receive, body: bytearray) -> None:
        self._check(_announced(scope))
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            piece: bytes = message.get("body", b"")
            self._check(len(body) + len(piece), len(piece))
            body += piece
            self._held_bytes += len(piece)
            if not message.get("more_body", False):
                return

    def _check(self, num_bytes: int, num_new: int = 0) -> None:
        most = self._bounds.max_body_bytes
        if num_bytes > most:
            raise _RefusedError(413, f"the body is longer than {most} bytes")
        if self._held_bytes + num_new > self._bounds.max_total_bytes:
            raise _RefusedError(503, "too many bodies are under way; try again in a second")


def _announced(scope: Scope) -> int:
    """The Content-Length; the server has checked that it is a number."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


def _replay(body: bytearray, receive: Receive) -> Receive:
    """Give the body once; then what comes: that the client goes away."""
    waiting = [body]

    async def replayed() -> Message:
        if waiting:
            return {"type": "http.request", "body": bytes(waiting.pop()), "more_body": False}
        return await receive()

    return replayed
