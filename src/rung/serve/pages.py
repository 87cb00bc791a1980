"""Hosts the built pages: files, and the one page that shows every address of theirs."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

WEB = Path(__file__).with_name("web")
"""Where `make web` puts them; a wheel has them."""
INDEX = "index.html"
FOREVER = "public, max-age=31536000, immutable"
"""For files whose names hold the hash of what is in them: those under assets/."""
_NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>rung: the pages are not built</title>
<h1>The pages are not built</h1>
<p>This is a checkout of rung without its pages. <code>make web</code> builds them (it needs no more
than <code>make setup</code> has installed); then load this page again.</p>
</html>
"""


def pages_at(folder: Path) -> ASGIApp:
    """An app that serves the pages in a folder, or says how they are built."""
    return _Pages(directory=folder, check_dir=False)


class _Pages(StaticFiles):
    """No path reaches outside the folder: Starlette resolves each one, links too."""

    async def check_config(self) -> None:
        """Pass over a folder that is not there yet."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file; to a person, index.html in place of none: its script reads the address.

        Raises:
            HTTPException: There is no such file, or the method is not GET or HEAD.
        """
        try:
            answer = await super().get_response(path, scope)
        except HTTPException as error:
            is_person = "text/html" in Headers(scope=scope).get("accept", "")
            if error.status_code != 404 or not is_person:
                raise
            answer = await self._index(scope)
        is_hashed = path.startswith(f"assets{os.sep}")
        answer.headers["Cache-Control"] = FOREVER if is_hashed else "no-cache"
        return answer

    async def _index(self, scope: Scope) -> Response:
        if not os.path.isfile(os.path.join(str(self.directory), INDEX)):
            return HTMLResponse(_NOT_BUILT, 404)
        return await super().get_response(INDEX, scope)
