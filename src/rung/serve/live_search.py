"""`/v1/search`: a problem is searched, and what happens is told as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from rung.core.types import Problem
from rung.search import SearchResult
from rung.search.log import Begun
from rung.serve.answers import as_events, event, service_of
from rung.serve.certain import SureStep
from rung.serve.refusal import FAILURES
from rung.serve.searching import Draws, Options, Wanted
from rung.serve.service import Service

router = APIRouter(responses=FAILURES, tags=["search"])
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: begun, sampled, scored, ended as in a log of"
        " `rung search`; the last is the result, or an error.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest(Draws):
    """A problem, and how to search for its answer."""

    problem: Problem
    rung: Options = field(default_factory=Options)


@router.post("/v1/search", responses=_EVENTS, response_class=Response)
async def search(request: Request, body: SearchRequest) -> Response:
    """Search; the data lines but the last are a log as `rung search --log` writes it."""
    service = service_of(request)
    asked = service.wanted(body.problem, body.rung, body)
    return await as_events(_events(service, request, asked))


async def _events(service: Service, request: Request, asked: Wanted) -> AsyncIterator[bytes]:
    begun = msgspec.to_builtins(Begun(f"{request.base_url} {msgspec.to_builtins(asked.options)}"))
    is_begun = False
    async for one in service.search(request, asked):
        if not is_begun:
            yield event(begun, "begun")
            is_begun = True
        if isinstance(one, SearchResult):
            yield event(one, "result")
        elif not isinstance(one, SureStep):  # a log has no such line
            told = msgspec.to_builtins(one)
            yield event(told, told["event"])
