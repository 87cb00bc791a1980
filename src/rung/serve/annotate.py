"""The HTTP API of `rung annotate`: one person's work, and the team's.

Everything that a person does is an event with a key that the page made; the page keeps it until the
answer is here, and sends it again when none came. Who asks is known from the token, so that nobody
rates as somebody else. Whether a chain is a gold one is never told.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from rung.eval.raters import RatingStatus
from rung.label.rating_export import ExportFormat
from rung.serve.annotate_desk import NotYoursError, RatingDesk
from rung.serve.annotate_values import (
    Asked,
    Given,
    Me,
    Sent,
    ShownKey,
    Taken,
    Task,
    event_of,
)
from rung.serve.guard import admin, caller, check_admin
from rung.serve.refusal import FAILURES
from rung.serve.tokens import Caller
from rung.store.values import Event

annotate = APIRouter(prefix="/v1/annotate", responses=FAILURES, tags=["annotate"])


async def rating_desk(request: Request) -> RatingDesk:
    """What the server was started with: `app.state.rating_desk`."""
    return request.app.state.rating_desk


Desk = Annotated[RatingDesk, Depends(rating_desk)]
Who = Annotated[Caller, Depends(caller)]
Lead = Annotated[Caller, Depends(admin)]


@annotate.get("/me")
async def me(desk: Desk, who: Who) -> Me:
    """Who asks, how far everything is, and how rating is set up."""
    return await desk.in_turn(lambda: desk.me(who))


@annotate.post("/next")
async def next_task(asked: Asked, desk: Desk, who: Who) -> Given:
    """The chain that the person has begun, or the next one."""
    if asked.purpose == "adjudicate":
        check_admin(who)
        return Given(await run_in_threadpool(desk.next_to_settle, who))
    return Given(await desk.in_turn(lambda: desk.next(who, asked.queue)))


@annotate.get("/chains/{chain}")
def task(chain: str, desk: Desk, who: Who) -> Task:
    """A chain that the person has or had, and where they stand with it."""
    try:
        return desk.task(who, chain)
    except NotYoursError as error:
        raise HTTPException(404, str(error)) from error


@annotate.post("/events")
async def take_events(sent: Sent, desk: Desk, who: Who) -> Taken:
    """Keep what the person did: each event once, however often it is sent."""
    return Taken(await desk.take(who, [event_of(one) for one in sent.events]))


@annotate.post("/chains/{chain}/scores")
def show_scores(chain: str, shown: ShownKey, desk: Desk, who: Who) -> Task:
    """The chain with scorers' scores; that they were shown is kept."""
    event = Event(key=shown.key, chain=chain, kind="show_scores", at_ms=shown.at_ms)
    try:
        return desk.show_scores(who, event)
    except NotYoursError as error:
        raise HTTPException(404, str(error)) from error


@annotate.get("/status")
def status(desk: Desk, who: Lead) -> RatingStatus:
    """How the team gets on; for those who lead it."""
    return desk.status()


@annotate.get("/export", response_class=StreamingResponse)
def export(desk: Desk, who: Lead, format: ExportFormat = "rung") -> StreamingResponse:
    """All ratings, as they are at this moment, as JSON lines; for those who lead the team."""
    name = f'attachment; filename="ratings-{format}.jsonl"'
    return StreamingResponse(
        desk.export(format),
        media_type="application/jsonl",
        headers={"Content-Disposition": name},
    )
