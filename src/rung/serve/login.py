"""The login page: a person gives a token once, and a cookie holds it from then on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape
from urllib.parse import parse_qs, quote, unquote

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from rung.serve.tokens import Caller

LOGIN, LOGOUT = "/login", "/logout"
SCRIPT_PATH, STYLE_PATH = "/login.js", "/login.css"
OPEN_PATHS = ("/health", SCRIPT_PATH, STYLE_PATH)
"""What needs no token."""
COOKIE_AGE_S = 30 * 24 * 3600

_PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>rung: log in</title>
<link rel="stylesheet" href="{STYLE_PATH}">
<script src="{SCRIPT_PATH}" defer></script>
<main>
<h1>rung</h1>
<form method="post" action="{LOGIN}">
<p role="alert">ALERT</p>
<input type="hidden" name="next" value="NEXT">
<label for="token">Your token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>
<p><a id="open" href="NEXT">I have logged in before: open the page</a></p>
</main>
</html>
"""
_SCRIPT = """"use strict";
// A link of the form PAGE#token=TOKEN logs in by itself. Any other mark names a place in the page,
// which browsers don't send: it goes along by hand.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token) {
  history.replaceState(null, "", location.pathname + location.search);
  document.getElementById("token").value = token;
  document.forms[0].requestSubmit();
} else {
  document.forms[0].elements.next.value += location.hash;
  document.getElementById("open").href += location.hash;
}
"""
_STYLE = """:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 24rem; margin: 15vh auto; padding: 0 1rem }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit }
input, button { padding: .5rem; margin: .25rem 0 1rem }
[role=alert]:empty { display: none }
"""


def login_routes() -> list[Route]:
    """The login page's script and style."""
    kinds = {
        SCRIPT_PATH: Response(_SCRIPT, media_type="text/javascript"),
        STYLE_PATH: Response(_STYLE, media_type="text/css"),
    }

    def file(request: Request) -> Response:
        return kinds[request.url.path]

    return [Route(path, file) for path in kinds]


def login_page(scope: Scope) -> Response:
    """Asks for a token in place of the page that was asked for."""
    query = scope["query_string"].decode("ascii", "replace")
    return _page(quote(scope["path"]) + (f"?{query}" if query else ""))


def _page(next: str, alert: str = "") -> Response:
    text = _PAGE.replace("ALERT", escape(alert)).replace("NEXT", escape(_local(next)))
    return HTMLResponse(text, 401)


async def answer_login(
    request: Request, owner: Callable[[str | None], Awaitable[Caller | None]]
) -> Response:
    """The way on with a known token, or the form again."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    token, next = (fields.get(name, [""])[0].strip() for name in ("token", "next"))
    if await owner(token) is None:
        return _page(next, "Nobody has this token (any more).")
    answer = RedirectResponse(_local(next), 303)
    _set_cookie(answer, request.scope, token, COOKIE_AGE_S)
    return answer


def logout(scope: Scope) -> Response:
    """Forget the cookie."""
    answer = RedirectResponse("/", 303)
    _set_cookie(answer, scope, "", 0)
    return answer


def cookie_of(headers: Headers) -> str | None:
    """The token in a browser's cookie."""
    return unquote(cookie_parser(headers.get("cookie", "")).get(_cookie_name(headers), "")) or None


def _set_cookie(answer: Response, scope: Scope, token: str, age_s: int) -> None:
    answer.set_cookie(
        _cookie_name(Headers(scope=scope)),
        quote(token, safe=""),
        max_age=age_s,
        secure=scope["scheme"] == "https",
        httponly=True,
        samesite="strict",
    )


def _cookie_name(headers: Headers) -> str:
    """Browsers share cookies among all ports of a host: two servers on one machine must differ."""
    _, _, port = headers.get("host", "").rpartition(":")
    return f"rung-{port if port.isdecimal() else 'token'}"


def _local(next: str) -> str:
    """A page of this server, whatever a form says."""
    next = quote(next.replace("\\", "/"), safe="/?&=%:@+,;~#")
    is_ours = next.startswith("/") and not next.startswith("//") and next != LOGIN
    return next if is_ours else "/"
