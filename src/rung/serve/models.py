"""`/v1/models` and `/metrics`: what a server has, and what it does."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from fastapi import APIRouter, HTTPException, Request, Response

from rung.serve.answers import as_json, service_of
from rung.serve.metrics import CONTENT_TYPE
from rung.serve.refusal import FAILURES
from rung.serve.service import Service

STARTED = int(time.time())
router = APIRouter(responses=FAILURES, tags=["server"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model that the server has."""

    id: str
    kind: Literal["policy", "prm", "orm"]
    max_model_len: int | None = None
    """Its context in tokens, where that is known."""
    aggregation: str | None = None
    """How a scorer's authors combine step scores, where they say it."""
    has_sessions: bool = False
    object: Literal["model"] = "model"
    created: int = STARTED
    owned_by: str = "rung"


@dataclass(frozen=True, slots=True)
class Models:
    """All of them; a policy comes first."""

    data: list[Served]
    object: Literal["list"] = field(default="list")


@router.get("/v1/models", response_model=Models)
async def models(request: Request) -> Response:
    """List the models, as OpenAI and vLLM do."""
    return as_json(Models(_served(service_of(request))))


@router.get("/v1/models/{name:path}", response_model=Served)
async def model(request: Request, name: str) -> Response:
    """Say what one model is."""
    found = next((one for one in _served(service_of(request)) if one.id == name), None)
    if found is None:
        raise HTTPException(404, f"there is no model {name!r}")
    return as_json(found)


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Count what the server does, for Prometheus."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE)


def _served(service: Service) -> list[Served]:
    policy = [] if service.policy is None else [service.policy.policy.name]
    found = [Served(id=name, kind="policy") for name in policy]
    for name, shared in service.scorers.items():
        pool, scorer = service.pooling.get(name), shared.scorer
        found.append(
            Served(
                id=name,
                kind=scorer.kind,
                max_model_len=None if pool is None else pool.max_tokens,
                aggregation=scorer.aggregation,
                has_sessions=scorer.has_sessions,
            )
        )
    return found
