"""What every server of rung does before a part of it sees a request.

In this order: the answer gets its security headers; the Host must be a name of this server (a
stranger's page can't reach us under its own name); another site's page may ask nothing; the token
must be known (`rung.serve.tokens`); nobody asks too often; the body is bounded.

**For a part**: `caller` and `admin` are FastAPI dependencies that say who asks. Change things by
POST, PUT, PATCH or DELETE alone: a GET may come from a link. Answer JSON, and put what a model or a
person wrote nowhere else.

**For a page**: scripts and styles come from our own files. No inline script, no `style="..."` in
markup: set styles by `element.style` or, in Svelte, `style:name={...}` (KaTeX: `katex.render` into
an element, not `renderToString`). A person without a token gets the login page in place of any
page, pastes the token, and comes back. A link may carry the token behind the mark: PAGE#token=TOKEN
logs in without typing; browsers send nothing behind the mark, so it stands in no log. Either way
the token lies in a cookie from then on (HttpOnly, SameSite=Strict): `fetch` sends it by itself, and
no script sees it. A POST to /logout ends that. A server that asks for no token has no login.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import Depends, HTTPException, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rung.serve.bodies import BoundedBodies, Bounds
from rung.serve.login import LOGIN, LOGOUT, OPEN_PATHS, answer_login, cookie_of, login_page, logout
from rung.serve.rates import Rate, Rates
from rung.serve.refusal import refusal
from rung.serve.tokens import LOCAL, Caller, Find, hash_of

READING = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser's login form has no Origin
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
Counted = Callable[[str, int, float], None]
"""Is told the route, the status and the seconds of every request."""
_access = logging.getLogger("rung.access")


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """What a server lets in."""

    find: Find | None = None
    """Whose a token is; None: no token is asked for, and everybody is `LOCAL`."""
    names: tuple[str, ...] = ()
    """Names of this server beside localhost, the machine's own and plain addresses."""
    rate: Rate | None = None
    """For each caller, and for each address that has no token."""
    bounds: Bounds = field(default_factory=Bounds)


async def caller(request: Request) -> Caller:
    """Who asks. Not `def`: FastAPI would take a thread for it."""
    return request.state.caller


async def admin(who: Annotated[Caller, Depends(caller)]) -> Caller:
    """Who asks, if that is the administrator.

    Raises:
        HTTPException: 403 for anybody else.
    """
    check_admin(who)
    return who


def check_admin(who: Caller) -> None:
    """See that the administrator asks.

    Raises:
        HTTPException: 403, for anybody else.
    """
    if not who.is_admin:
        raise HTTPException(403, "only the administrator may do this")


class Guard:
    """ASGI middleware: all of it, around the whole app."""

    def __init__(self, app: ASGIApp, safety: Safety, counted: Counted | None = None) -> None:
        self._app = BoundedBodies(app, safety.bounds)
        self._login = BoundedBodies(self._log_in, Bounds(max_body_bytes=2**12))
        self._safety = safety
        self._names = {"localhost", socket.gethostname().lower(), *map(str.lower, safety.names)}
        self._counted = counted
        self._rates = None if safety.rate is None else Rates(safety.rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Meet one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        answer = _Answer(send)
        try:
            app = self._refused(scope) or await self._met_by(scope)
            await app(scope, receive, answer.send)
        finally:
            answer.log(scope)
            if self._counted is not None:
                path: str = getattr(scope.get("route"), "path", "none")
                self._counted(path, answer.status, answer.took_s)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not _is_ours(host, self._names):
            return refusal(421, f"{host[:80]!r} is not a name of this server (see --allow-host)")
        return _foreign(scope["method"], host, headers)

    async def _met_by(self, scope: Scope) -> ASGIApp:
        """The app that answers, once it is known who asks."""
        if scope["path"] in OPEN_PATHS:
            return self._app
        may_log_in = self._safety.find is not None and scope["method"] == "POST"
        is_login = may_log_in and scope["path"] == LOGIN
        who, is_cookie = (None, False) if is_login else await self._who(scope)
        wait_s = 0 if self._rates is None else self._rates.wait_s(_key(who, scope))
        if wait_s:
            return _too_often(wait_s)
        if who is None:
            return self._login if is_login else _unauthorized(scope)
        if may_log_in and scope["path"] == LOGOUT:
            return logout(scope)
        if is_cookie and scope["method"] not in READING and "origin" not in Headers(scope=scope):
            return refusal(403, "a browser names its page's Origin, and this request has none")
        scope["state"]["caller"] = who
        return self._app

    async def _who(self, scope: Scope) -> tuple[Caller | None, bool]:
        """Who asks, and whether a cookie says so."""
        if self._safety.find is None:
            return LOCAL, False
        headers = Headers(scope=scope)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await self._owner(token.strip()), False
        return await self._owner(cookie_of(headers)), True

    async def _owner(self, token: str | None) -> Caller | None:
        if not token or self._safety.find is None:
            return None
        return await self._safety.find(hash_of(token))

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await answer_login(Request(scope, receive), self._owner)
        await answer(scope, receive, send)


class _Answer:
    """An answer on its way out: gets its headers, and a line in the log of accesses."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self._began_s = time.monotonic()

    @property
    def took_s(self) -> float:
        """Since the request began."""
        return time.monotonic() - self._began_s

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in {**HEADERS, "Cache-Control": "no-store"}.items():
                headers.setdefault(name, value)
        await self._send(message)

    def log(self, scope: Scope) -> None:
        """One line. The path alone: a query may hold what nobody should read."""
        who: Caller | None = scope["state"].get("caller")
        path = quote(scope["path"], safe="/:@-._~")
        name, took_ms = who.name if who else "-", self.took_s * 1000
        _access.info("%s %s %d %.0f ms %s", scope["method"], path, self.status, took_ms, name)


def _is_ours(host: str, names: set[str]) -> bool:
    """Whether a Host is a name of this server. An address is: only names can be made to lie."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _foreign(method: str, host: str, headers: Headers) -> Response | None:
    """Refuse what another site's page asks; a person may follow its link to us."""
    site = headers.get("sec-fetch-site", "none")
    is_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    origin = headers.get("origin")
    is_same = origin is None or origin.partition("://")[2].lower() == host.lower()
    if (site not in ("none", "same-origin") and not is_link) or not is_same:
        return refusal(403, "a page of another origin may not ask this server")
    return None


def _key(who: Caller | None, scope: Scope) -> str:
    """Whose requests are counted together: a caller's, or those of a stranger's address."""
    client: tuple[str, int] | None = scope.get("client")
    return f"caller {who.name}" if who else f"address {client[0] if client else None}"


def _unauthorized(scope: Scope) -> Response:
    if scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", ""):
        return login_page(scope)
    message = "this needs a token that the server knows: Authorization: Bearer TOKEN"
    return refusal(401, message, {"WWW-Authenticate": "Bearer"})


def _too_often(wait_s: float) -> Response:
    wait = {"Retry-After": str(math.ceil(wait_s))}
    return refusal(429, f"too many requests; the next may come in {wait_s:.1f} s", wait)
