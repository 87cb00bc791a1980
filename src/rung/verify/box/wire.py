"""Values as JSON, so that what an untrusted process says is data and nothing else.

A value comes out as a plain built-in one (a named tuple as a tuple, a Counter as a dict): an object
that calls itself equal to everything stays on its own side, as the number of a handle.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import select
import time
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_LINE_BYTES = 2**22
"""A longer message is no message."""
MAX_PLAIN_INT = 2**53


class Gone(Exception):
    """The other side has ended, or said something that is no message."""


class Late(Exception):
    """The other side did not answer in time."""


class Link:
    """Messages, a line of JSON each, over two file descriptors."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._buffer = bytearray()

    def send(self, message: Any) -> None:
        """Say one message.

        Raises:
            Gone: Nobody listens, or the message is too long.
        """
        line = json.dumps(message).encode() + b"\n"
        if len(line) > MAX_LINE_BYTES:
            raise Gone("the message is too long")
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(self._write_fd, view) :]
        except OSError as error:
            raise Gone("nobody listens") from error

    def receive(self, timeout_s: float | None = None) -> Any:
        """Hear one message.

        Raises:
            Late: It did not come in time.
            Gone: The other side has ended, or this is no message.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while (end := self._buffer.find(b"\n")) < 0:
            self._wait(deadline_s)
            piece = os.read(self._read_fd, 2**16)
            self._buffer += piece
            if not piece or len(self._buffer) > MAX_LINE_BYTES:
                raise Gone("the other side has ended" if not piece else "it says too much")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Gone("this is no message") from error

    def _wait(self, deadline_s: float | None) -> None:
        if deadline_s is not None:
            left_s = max(0.0, deadline_s - time.monotonic())
            if not select.select([self._read_fd], [], [], left_s)[0]:
                raise Late


def encode(value: Any, handle: Callable[[Any], Any]) -> Any:
    """The value as JSON; `handle` says what stands for an object that isn't plain."""
    if value is None or isinstance(value, bool | float | str):
        return value if type(value) in (type(None), bool, float, str) else _base(value)
    if isinstance(value, int):
        return int(value) if abs(value) <= MAX_PLAIN_INT else {"i": hex(value)}
    items = _items(value, handle)
    return {"h": handle(value)} if items is None else items


def _base(value: Any) -> Any:
    """A subclass of float or str as the plain one."""
    return float(value) if isinstance(value, float) else str.__str__(value)


def _items(value: Any, handle: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {"d": [[encode(k, handle), encode(v, handle)] for k, v in value.items()]}
    for kind, tag in _TAGS.items():
        if isinstance(value, kind):
            return {tag: [encode(item, handle) for item in value]}
    if isinstance(value, bytes | bytearray):
        return {"b": bytes(value).hex(), "m": isinstance(value, bytearray)}
    if isinstance(value, complex):
        return {"c": [value.real, value.imag]}
    if isinstance(value, range):
        return {"r": [encode(n, handle) for n in (value.start, value.stop, value.step)]}
    if isinstance(value, type) and getattr(builtins, value.__name__, None) is value:
        return {"y": value.__name__}
    if isinstance(value, Decimal | Fraction):
        return {"n": str(value), "f": isinstance(value, Fraction)}
    return None


_TAGS: dict[type, str] = {list: "l", tuple: "t", set: "s", frozenset: "z", deque: "q"}


def decode(data: Any, handle: Callable[[Any], Any]) -> Any:
    """The value; `handle` makes something of an object's number.

    Raises:
        Gone: This is no value.
    """
    with contextlib.suppress(ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        return _decode(data, handle)
    raise Gone("this is no value")


def _decode(data: Any, handle: Callable[[Any], Any]) -> Any:
    if not isinstance(data, dict):
        if data is None or isinstance(data, bool | int | float | str):
            return data
        raise ValueError
    tag = next(iter(data))
    content = data[tag]
    if tag == "h":
        return handle(content)
    if tag == "d":
        return {_decode(k, handle): _decode(v, handle) for k, v in content}
    for kind, name in _TAGS.items():
        if tag == name:
            return kind(_decode(item, handle) for item in content)
    return _READ[tag](data)


def _builtin_type(name: str) -> type:
    value = getattr(builtins, name)
    if not isinstance(value, type):
        raise ValueError
    return value


_READ: dict[str, Callable[[dict[str, Any]], Any]] = {
    "i": lambda data: int(data["i"], 16),
    "b": lambda data: (bytearray if data["m"] else bytes).fromhex(data["b"]),
    "c": lambda data: complex(*data["c"]),
    "r": lambda data: range(*(_decode(n, lambda _: None) for n in data["r"])),
    "y": lambda data: _builtin_type(data["y"]),
    "n": lambda data: (Fraction if data["f"] else Decimal)(data["n"]),
}
