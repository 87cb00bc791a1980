"""What a request that can't be met is answered: a status and one sentence, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from rung.core.errors import RungError, UnavailableError
from rung.serve.waiting import GoneError

FAULT = "the server failed; what it wrote on its terminal says how"
GONE = 499
"""The status, for logs and counters, where nobody is left to read it."""
MAX_WORDS = 300
"""Characters of what was sent that an answer repeats."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong."""

    message: str
    type: str
    """The status in words, as "bad_request"."""
    code: int
    """The status."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The body of every answer but a good one."""

    error: Mistake


FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Failure, "description": "The request can't be met; the message says why."},
    "5XX": {"model": Failure, "description": "Not now: full, stopping, or a fault of the server."},
}
"""For the `responses` of a router: what its routes answer when they refuse."""


def failure(status: int, message: str) -> Failure:
    """What is said of a failure."""
    kind = HTTPStatus(status).phrase.lower().replace(" ", "_")
    return Failure(Mistake(message, kind, status))


def failure_of(error: RungError) -> Failure:
    """What is said of an error: that it may pass (503), or that the request is wrong (400)."""
    return failure(503 if isinstance(error, UnavailableError) else 400, str(error))


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that refuses."""
    body = msgspec.json.encode(failure(status, message))
    return Response(body, status, headers, media_type="application/json")


def handlers() -> dict[Any, Any]:
    """For FastAPI's `exception_handlers`: every error becomes a refusal."""
    return {
        HTTPException: _refused,
        RequestValidationError: _invalid,
        RungError: _mistaken,
        Exception: _failed,
    }


async def _refused(_: Request, error: HTTPException) -> Response:
    return refusal(error.status_code, str(error.detail), error.headers)


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    message = str(first["msg"]).removeprefix("Value error, ")
    said = f"{place}: {message}" if place else message
    return refusal(400, said[:MAX_WORDS])


async def _mistaken(_: Request, error: RungError) -> Response:
    if isinstance(error, GoneError):
        return Response(status_code=GONE)
    said = failure_of(error).error
    headers = {"Retry-After": "1"} if said.code == 503 else None
    return refusal(said.code, said.message, headers)


async def _failed(_: Request, __: Exception) -> Response:
    return refusal(500, FAULT)
