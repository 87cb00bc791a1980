"""The documents over HTTP: read-only, and nothing but what the folder's look-through found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter, HTTPException, Response

from rung.serve.refusal import FAILURES
from rung.serve.view.documents import (
    ChainIndex,
    ChainPage,
    Charts,
    RunEntry,
    RunList,
    SearchList,
    SearchTree,
)
from rung.serve.view.library import Library, NotHereError

PREFIX = "/v1/view"


def view_routes(library: Library | None) -> APIRouter:
    """The part for `create_app`.

    Args:
        library: What is shown; None for the OpenAPI document alone.
    """
    routes = APIRouter(prefix=PREFIX, responses=FAILURES, tags=["view"])

    def shown(find: Callable[[Library], Any]) -> Response:
        """Encoded by msgspec: FastAPI's own way takes ten times as long."""
        assert library is not None
        try:
            found = find(library)
        except NotHereError as error:
            raise HTTPException(404, str(error)) from error
        return Response(msgspec.json.encode(found), media_type="application/json")

    @routes.get("/runs", response_model=RunList)
    def runs() -> Response:  # pyright: ignore[reportUnusedFunction]
        return shown(lambda all: all.runs())

    @routes.get("/runs/{run}", response_model=RunEntry)
    def run(run: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return shown(lambda all: all.run(run))

    @routes.get("/runs/{run}/charts", response_model=Charts)
    def run_charts(run: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return shown(lambda all: all.charts(run))

    @routes.get("/runs/{run}/chains/{file}", response_model=ChainIndex)
    def index(run: str, file: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return shown(lambda all: all.index(run, file))

    @routes.get("/runs/{run}/chains/{file}/pages/{page}", response_model=ChainPage)
    def page(run: str, file: str, page: int) -> Response:  # pyright: ignore[reportUnusedFunction]
        return shown(lambda all: all.page(run, file, page))

    @routes.get("/runs/{run}/searches/{file}", response_model=SearchList)
    def searches(run: str, file: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return shown(lambda all: all.searches(run, file))

    @routes.get("/runs/{run}/searches/{file}/{problem}", response_model=SearchTree)
    def search(run: str, file: str, problem: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return shown(lambda all: all.search(run, file, problem))

    return routes
