"""`/v1/score` and `/v1/sessions`: chains, whole or growing, to step scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import Field

from rung.core.aggregate import AGGREGATIONS
from rung.core.types import MAX_STEP_CHARS, Chain, ChainRecord, Problem, Step, StepScores
from rung.search.best_of_n import value_of
from rung.serve.answers import as_json, service_of
from rung.serve.guard import caller
from rung.serve.refusal import FAILURES
from rung.serve.searching import Aggregation
from rung.serve.tokens import Caller
from rung.serve.waiting import done_for

MAX_CHAINS = 1024
MAX_STEPS = 1024
MAX_LIVE = 4096
"""Prefixes that one session may hold."""
router = APIRouter(responses=FAILURES, tags=["scoring"])
Who = Annotated[Caller, Depends(caller)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """Chains to score; a row's "chain" in a rung file is one."""

    chains: Annotated[tuple[Chain, ...], Field(min_length=1, max_length=MAX_CHAINS)]
    model: str | None = None
    """The scorer's name; it may be left out where there is one only."""
    aggregate: Aggregation | None = None
    """Also make one value of a chain's scores."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scorer says of a chain."""

    scores: tuple[float | None, ...]
    """P(right) of each step, given its prefix. None: beyond the model's context, or no last step
    of an ORM's chain."""
    value: float | None
    """The scores aggregated, where that is asked for; None where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreAnswer:
    """The chains' scores, in order."""

    model: str
    weights_hash: str | None
    aggregate: Aggregation | None
    results: list[Scored]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """A problem whose chains will grow."""

    problem: Problem
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A session."""

    session: str
    prefix: str
    """The id of the problem's empty prefix."""
    model: str
    idle_s: float
    """Unused for so long, it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A step behind a live prefix."""

    prefix: str
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendRequest:
    """Steps to score; what is longer by them is live from now on."""

    steps: Annotated[tuple[Growth, ...], Field(min_length=1, max_length=MAX_STEPS)]


@dataclass(frozen=True, slots=True)
class Extended:
    """A step that was scored."""

    id: str
    """Names the prefix that ends with the step."""
    score: float | None


@dataclass(frozen=True, slots=True)
class ExtendAnswer:
    """The steps' scores, in order."""

    steps: list[Extended]


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRequest:
    """Prefixes to let go; longer ones stay live, and an unknown one is passed over."""

    prefixes: Annotated[tuple[str, ...], Field(max_length=MAX_LIVE)]


@dataclass(frozen=True, slots=True)
class DropAnswer:
    """How many prefixes are live."""

    live: int


@router.post("/v1/score", response_model=ScoreAnswer)
async def score(request: Request, body: ScoreRequest) -> Response:
    """Score the steps of chains, together with what others ask for meanwhile."""
    shared = service_of(request).scorer(body.model)
    for place, chain in enumerate(body.chains):
        _check(chain, place)
    found: list[StepScores] = []
    for job in shared.scored(body.chains):
        found += await done_for(request, shared.worker, job)
    rule = None if body.aggregate is None else AGGREGATIONS[body.aggregate]
    return as_json(
        ScoreAnswer(
            model=shared.scorer.name,
            weights_hash=shared.scorer.weights_hash,
            aggregate=body.aggregate,
            results=[
                Scored(one.scores, None if rule is None else value_of(one, rule)) for one in found
            ],
        )
    )


@router.post("/v1/sessions", response_model=Opened, status_code=201)
async def open_session(request: Request, body: OpenRequest, who: Who) -> Response:
    """Open a session: the scorer keeps what it computes for live prefixes."""
    service = service_of(request)
    shared = service.scorer(body.model)
    if not shared.scorer.has_sessions:
        name = shared.scorer.name
        raise HTTPException(400, f"{name} has no sessions; POST whole chains to /v1/score")
    held = service.sessions.open(who.name, shared)
    try:
        with service.sessions.using(who.name, held.name):
            await done_for(request, shared.worker, held.session.add(body.problem))
    except BaseException:
        service.sessions.close(held)
        raise
    opened = Opened(
        session=held.name,
        prefix=body.problem.root_id,
        model=shared.scorer.name,
        idle_s=service.capacity.session_idle_s,
    )
    return as_json(opened, 201)


@router.post("/v1/sessions/{session}/extend", response_model=ExtendAnswer)
async def extend(request: Request, session: str, body: ExtendRequest, who: Who) -> Response:
    """Write steps behind live prefixes and score them."""
    if any(len(one.step.text) > MAX_STEP_CHARS for one in body.steps):
        raise HTTPException(400, f"a step has more than {MAX_STEP_CHARS} characters")
    with service_of(request).sessions.using(who.name, session) as held:
        if len(held.session.live) + len(body.steps) > MAX_LIVE:
            raise HTTPException(400, f"a session holds at most {MAX_LIVE} prefixes; drop some")
        steps = [replace(one.step, id="") for one in body.steps]
        job = held.session.grow([one.prefix for one in body.steps], steps)
        scored = await done_for(request, held.session.shared.worker, job)
    return as_json(ExtendAnswer([Extended(step.id, step.score) for step in scored]))


@router.post("/v1/sessions/{session}/drop", response_model=DropAnswer)
async def drop(request: Request, session: str, body: DropRequest, who: Who) -> Response:
    """Let prefixes go; memory that no live prefix shares is free at once."""
    with service_of(request).sessions.using(who.name, session) as held:
        job = held.session.drop(body.prefixes)
        await done_for(request, held.session.shared.worker, job)
    return as_json(DropAnswer(len(held.session.live)))


@router.delete("/v1/sessions/{session}", status_code=204)
async def close_session(request: Request, session: str, who: Who) -> None:
    """End a session."""
    sessions = service_of(request).sessions
    with sessions.using(who.name, session) as held:
        sessions.close(held)


def _check(chain: Chain, place: int) -> None:
    """See that a chain could be a row of a rung file."""
    try:
        ChainRecord(chain)
    except ValueError as error:
        raise HTTPException(400, f"chains.{place}: {error}") from error
