"""How routes answer: JSON of dataclasses, and streams of server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import Request
from starlette.responses import Response, StreamingResponse

from rung.core.errors import RungError
from rung.serve.refusal import FAULT, failure, failure_of
from rung.serve.service import Service
from rung.serve.waiting import GoneError

PING_S = 15.0
"""A silent stream says so often that it lives; a client that is gone is noticed by it."""
_PING = b": still here\n\n"


def service_of(request: Request) -> Service:
    """The service that the app was made for."""
    return request.app.state.service


def as_json(value: Any, status: int = 200) -> Response:
    """An answer; its shape stands in the route's `response_model`."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def event(data: Any, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + msgspec.json.encode(data) + b"\n\n"


async def as_events(pieces: AsyncIterator[bytes]) -> Response:
    """A stream of events. What fails before the first one is an answer with its own status.

    Later failures are an event that says what happened; the stream ends with it.
    """
    first = await anext(pieces)
    return StreamingResponse(_alive(first, pieces), media_type="text/event-stream")


async def _alive(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    coming: asyncio.Future[bytes] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(_next(pieces))
            await asyncio.wait((coming,), timeout=PING_S)
            if not coming.done():
                yield _PING
                continue
            yield coming.result()
            coming = None
    except (StopAsyncIteration, GoneError):
        return
    except RungError as error:
        yield event(failure_of(error), "error")
    except Exception:
        yield event(failure(500, FAULT), "error")
        raise
    finally:
        if coming is not None:
            coming.cancel()


async def _next(pieces: AsyncIterator[bytes]) -> bytes:
    return await anext(pieces)
