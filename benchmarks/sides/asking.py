"""A client of HTTP that costs little, so that 200 of them leave the processor to the server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import msgspec


class Line:
    """A connection to a server on this machine, for one request after the other."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Line:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._writer.close()

    async def ask(self, path: str, body: Any = None, *, method: str = "POST") -> Any:
        """The answer to a body, both JSON; `body` may be bytes already."""
        sent = body if isinstance(body, bytes) else msgspec.json.encode(body or {})
        answer = await self.read(path, sent, method=method)
        return msgspec.json.decode(answer) if answer else None

    async def read(self, path: str, sent: bytes = b"", *, method: str = "GET") -> bytes:
        """The answer's bytes.

        Raises:
            RuntimeError: The server refuses.
        """
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
        await self._writer.drain()
        told = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = told.partition("content-length: ")[2].partition("\r\n")[0]
        answer = await self._reader.readexactly(int(length or 0))
        if int(told.split()[1]) >= 300:
            raise RuntimeError(f"{path}: {answer.decode()}")
        return answer


async def ask_all(port: int, path: str, shares: Sequence[Sequence[bytes]]) -> list[list[Any]]:
    """A client for each share, all at once; the answers, share by share."""

    async def client(bodies: Sequence[bytes]) -> list[Any]:
        async with Line(port) as line:
            return [await line.read(path, body, method="POST") for body in bodies]

    told = await asyncio.gather(*map(client, shares))
    return [[msgspec.json.decode(one) for one in own] for own in told]
