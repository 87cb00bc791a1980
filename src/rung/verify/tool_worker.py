"""The process that runs a user's tools: a call a line, what came of it a line.

It runs apart so that a tool that hangs can be killed. The tools are the user's own and are
trusted: nothing else is held back from them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from rung.verify.serving import serve

MAX_DETAIL_CHARS = 300


class Call(msgspec.Struct):
    """A tool's name and its arguments."""

    name: str
    arguments: Any


class Returned(msgspec.Struct):
    """What came of a call."""

    said: Literal["value", "raised", "unavailable", "unloadable"]
    value: Any = None
    detail: str = ""


def load_tools(specs: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """The tools of ``NAME=MODULE:FUNCTION``.

    Raises:
        Exception: Whatever an import raises.
    """
    tools: dict[str, Callable[..., Any]] = {}
    for spec in specs:
        name, _, place = spec.partition("=")
        module, _, function = place.partition(":")
        tools[name] = getattr(importlib.import_module(module), function)
    return tools


def run_tool(tool: Callable[..., Any], arguments: Any) -> Returned:
    """Call a tool: an object of arguments by name, anything else as the one argument."""
    try:
        value = tool(**arguments) if isinstance(arguments, dict) else tool(arguments)
        return Returned("value", msgspec.to_builtins(value, str_keys=True, enc_hook=str))
    except (ConnectionError, TimeoutError) as error:
        return Returned("unavailable", detail=_told(error))
    except BaseException as error:  # SystemExit too: a tool must not end the process
        return Returned("raised", detail=_told(error))


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_DETAIL_CHARS]


def main() -> None:
    """Answer calls to the tools that the further arguments name."""
    tools: dict[str, Callable[..., Any]] = {}
    failures: list[str] = []

    def load() -> None:
        try:
            tools.update(load_tools(sys.argv[2:]))
        except BaseException as error:
            failures.append(_told(error))

    def answer(request: bytes) -> bytes:
        if failures:
            return msgspec.json.encode(Returned("unloadable", detail=failures[0]))
        try:
            call = msgspec.json.decode(request, type=Call | None)
            done = Returned("value") if call is None else run_tool(tools[call.name], call.arguments)
            return msgspec.json.encode(done)
        except (ValueError, RecursionError, OverflowError) as error:
            return msgspec.json.encode(Returned("unavailable", detail=_told(error)))

    serve(answer, warm_up=load, memory_bytes=None)


if __name__ == "__main__":
    main()
