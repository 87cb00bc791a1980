"""The app of `rung serve`: its parts, and the service behind them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from fastapi import APIRouter, FastAPI

from rung.serve import chat, live_search, models, pooling, scoring
from rung.serve.app import App, create_app
from rung.serve.guard import Safety
from rung.serve.service import Service

PARTS = (models.router, scoring.router, pooling.router, chat.router, live_search.router)


def serving_app(service: Service, safety: Safety | None = None) -> App:
    """The app that answers for a service, and closes it when it stops."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with service.open():
            yield

    app = create_app(*PARTS, APIRouter(lifespan=lifespan), safety=safety)
    app.state.service = service
    app.counted = service.metrics.request
    return app
