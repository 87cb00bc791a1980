"""The OpenAPI document of all parts together: the pages' types are made from it.

`python -m rung.serve.openapi > FILE` writes it; no model and no database is opened.
"""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter

from rung.serve.annotate import annotate
from rung.serve.app import create_app
from rung.serve.serving import PARTS
from rung.serve.view.routes import view_routes


def parts() -> list[APIRouter]:
    """The routers of all parts, of every verb with a server."""
    return [*PARTS, annotate, view_routes(None)]


def document() -> dict[str, Any]:
    """The document, as JSON."""
    return create_app(*parts()).openapi()


if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode(document())).decode())
