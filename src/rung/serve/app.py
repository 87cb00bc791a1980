"""One app of many parts: `rung serve`, `rung annotate` and `rung view` each put theirs together.

A part is a FastAPI router: its routes, and a `lifespan` where it holds something open. It states
`responses=FAILURES` (`rung.serve.refusal`) so that the OpenAPI document tells the truth about
errors. Routes raise `RungError` (400), `UnavailableError` (503) or FastAPI's `HTTPException`.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from rung.serve.guard import Counted, Guard, Safety
from rung.serve.login import login_routes
from rung.serve.pages import pages_at
from rung.serve.refusal import FAILURES, handlers


class App(FastAPI):
    """FastAPI behind a guard (`rung.serve.guard`), which nothing gets round."""

    safety: Safety = Safety()
    counted: Counted | None = None

    def build_middleware_stack(self) -> ASGIApp:
        """Put the guard around everything, the handler of last errors too."""
        return Guard(super().build_middleware_stack(), self.safety, self.counted)


def create_app(
    *parts: APIRouter, safety: Safety | None = None, title: str = "rung", pages: Path | None = None
) -> App:
    """An app that answers for all its parts.

    Args:
        parts: Their routers, the first that knows a path answers.
        safety: What is let in; by default everybody who reaches the server under a right name.
        title: In the OpenAPI document.
        pages: The folder of built pages (`rung.serve.pages.WEB`); None: there are no pages.
    """
    app = App(
        title=title,
        version=version("rung"),
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        exception_handlers=handlers(),
    )
    app.safety = safety or Safety()
    app.router.routes.extend(login_routes())
    app.include_router(_health)
    for part in parts:
        app.include_router(part)
    if pages is not None:
        app.mount("/", pages_at(pages))
    return app


_health = APIRouter(responses=FAILURES, tags=["server"])


@_health.get("/health")
async def health() -> dict[str, str]:
    """Whether the server answers."""
    return {"status": "ok"}
