"""Runs an app: binds a port, says where, stops gracefully. Every verb with a server uses it."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import ipaddress
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from rung.core.errors import RungError
from rung.core.protocols import Progress
from rung.serve.app import App
from rung.serve.guard import Safety

HEAD_TIMEOUT_S = 10.0
"""For the head of a request to come."""
TAKE_TIMEOUT_S = 30.0
"""For a client to take what fills the buffers, before its connection is broken off."""
KEEP_ALIVE_S = 30
"""For the next request on a connection to begin."""
STOP_TIMEOUT_S = 30
"""What has begun may take so long after a stop."""
MAX_CONNECTIONS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where a server listens."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0: any that is free."""
    tls_cert: Path | None = None
    """A certificate with its chain (PEM)."""
    tls_key: Path | None = None
    unsafe_open: bool = False
    """Listen beyond this machine without a token or without TLS."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def run_app(app: App, where: Listening, progress: Progress, *, path: str = "/") -> None:
    """Serve until SIGINT or SIGTERM; then finish what has begun.

    Args:
        app: What answers.
        where: The address.
        progress: Is told the address, and what goes wrong.
        path: The page to look at, for the line that says the address.

    Raises:
        RungError: The port is taken, the address or a TLS file is wrong, or other machines would be
            let in without a token and TLS.
    """
    check_listening(app.safety, where)
    with bound(where) as listener:
        server = server_of(app, where)
        _tell(progress, where, listener.getsockname()[1], path)
        with _log_to(progress), _quiet_signals():
            server.run(sockets=[listener])
    progress.log("stopped")


def check_listening(safety: Safety, where: Listening) -> None:
    """See that nobody is let in by accident, before models are loaded.

    Raises:
        RungError: Other machines would be let in without a token and TLS; or the port is taken.
    """
    _check_reach(safety, where)
    with bound(where):
        pass


def _check_reach(safety: Safety, where: Listening) -> None:
    if (where.tls_cert is None) != (where.tls_key is None):
        raise RungError("--tls-cert and --tls-key go together: give both or none")
    if where.is_loopback or where.unsafe_open:
        return
    if safety.find is None or where.tls_cert is None:
        raise RungError(
            f"--host {where.host} lets other machines in: give --token-file, and --tls-cert with"
            " --tls-key; or --unsafe-open, if whoever reaches this port may use it and read along"
        )


@contextlib.contextmanager
def bound(where: Listening) -> Generator[socket.socket]:
    """A socket at the address.

    Raises:
        RungError: There is no such address, or it is taken.
    """
    if not 0 <= where.port < 2**16:
        raise RungError(f"--port is {where.port}, expected 0 to 65535")
    try:
        [family, *_, address], *_ = socket.getaddrinfo(
            where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.create_server((address[0], address[1]), family=family, backlog=1024)
    except OSError as error:
        raise RungError(
            f"can't listen on port {where.port} of {where.host} ({error.strerror}); choose"
            " another --port or --host"
        ) from error
    with listener:
        # asyncio does this for sockets that it opens itself; else the end of an answer waits 40 ms
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener


def server_of(app: App, where: Listening) -> uvicorn.Server:
    """The server.

    Raises:
        RungError: A TLS file can't be read.
    """
    config = uvicorn.Config(
        app,
        http=_Impatient,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        ssl_certfile=where.tls_cert,
        ssl_keyfile=where.tls_key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise RungError(
            f"{where.tls_cert}, {where.tls_key}: no TLS with these ({error})"
        ) from error
    return uvicorn.Server(config)


class _Impatient(H11Protocol):
    """Gives up on a connection that sends no request, or takes no answer, in time.

    (The body of a request has a bound of its own: `rung.serve.bodies`.)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = _Alarm(self.loop, self._no_head)
        self._taking = _Alarm(self.loop, lambda: self.transport.abort())

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking.set(TAKE_TIMEOUT_S)

    def resume_writing(self) -> None:
        self._taking.cancel()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head.cancel()
        self._taking.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """The clock for a head runs while no request is under way."""
        if self._is_free():
            self._head.set(HEAD_TIMEOUT_S)
        else:
            self._head.cancel()

    def _is_free(self) -> bool:
        cycle = self.cycle  # None until the first request, whatever uvicorn's annotation says
        return cycle is None or cycle.response_complete  # pyright: ignore

    def _no_head(self) -> None:
        if self._is_free():
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
            self.transport.close()


class _Alarm:
    """Calls something once, unless it is cancelled; setting it again changes nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop, self._call = loop, call
        self._timer: asyncio.TimerHandle | None = None

    def set(self, after_s: float) -> None:
        """Call in so many seconds."""
        if self._timer is None:
            self._timer = self._loop.call_later(after_s, self._ring)

    def cancel(self) -> None:
        """Don't call."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._call()


def _tell(progress: Progress, where: Listening, port: int, path: str) -> None:
    scheme = "http" if where.tls_cert is None else "https"
    host = "localhost" if where.is_loopback else where.host
    shown = f"[{host}]" if ":" in host else host
    progress.log(f"rung listens at {scheme}://{shown}:{port}{path} (stop it with Ctrl-C)")
    ssh = os.environ.get("SSH_CONNECTION", "").split()
    if where.is_loopback and len(ssh) == 4:
        here = f"{getpass.getuser()}@{ssh[2]}"
        progress.log(f"from your own machine: ssh -L {port}:localhost:{port} {here}")


@contextlib.contextmanager
def _log_to(progress: Progress) -> Generator[None]:
    """Uvicorn's warnings and our accesses, as lines of the progress."""
    handler = _Lines(progress)
    loggers = [(logging.getLogger("uvicorn"), logging.WARNING)]
    loggers.append((logging.getLogger("rung.access"), logging.INFO))
    for logger, level in loggers:
        logger.addHandler(handler)
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, _ in loggers:
            logger.removeHandler(handler)


class _Lines(logging.Handler):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.log(self.format(record))


@contextlib.contextmanager
def _quiet_signals() -> Generator[None]:
    """After a graceful stop uvicorn raises the signal again: there is nothing left to do."""
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.signal(name, _pass_over) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _pass_over(signum: int, frame: FrameType | None) -> None:
    """Do nothing."""
