"""Beside the program under test: loads it, and does what the tests' side asks.

Nothing here is trusted. The program runs in this process and may do anything to it; all that
comes of it is other data for the tests to be unhappy with.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import CodeType, FrameType, ModuleType
from typing import Any

from rung.verify.box.wire import Gone, Link, decode, encode

PROGRAM = "program.py"
MAX_MESSAGE_CHARS = 500
MAX_ITEMS = 100_000


class OutOfTime(BaseException):
    """The call takes too long; no `except Exception` of the program's holds it up."""


class Runner:
    """The program and the objects that it has handed out."""

    def __init__(self, *, trace: bool) -> None:
        self._module = ModuleType("program")
        self._handles: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._trace = trace
        self._spans: set[tuple[int, int]] = set()
        self._line: int | None = None
        self._is_unreadable = False

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do one thing; what goes wrong is an answer too."""
        self._spans, self._line = set(), None
        args: list[Any] = []
        signal.setitimer(signal.ITIMER_REAL, message["limit_s"])
        try:
            args = decode(message.get("args", {"l": []}), self._handles.__getitem__)
            if self._trace:
                sys.setprofile(self._notice)
            try:
                value = getattr(self, f"_{message['op']}")(message, args)
            finally:
                sys.setprofile(None)
            reply = {"value": self._encode(value), "args": self._encode(args)}
        except BaseException as error:
            described = _described(error, self._line)
            reply = {"error": {**described, "unreadable": self._is_unreadable}}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return {**reply, "line": self._line, "spans": sorted(self._spans)}

    def _load(self, message: dict[str, Any], args: list[Any]) -> list[str]:
        with open(PROGRAM, encoding="utf-8") as stream:
            source = stream.read()
        sys.modules["program"] = self._module
        try:
            code = compile(source, PROGRAM, "exec", dont_inherit=True)
        except Exception:
            self._is_unreadable = True
            raise
        exec(code, self._module.__dict__)
        return [name for name in self._module.__dict__ if not name.startswith("__")]

    def _get(self, message: dict[str, Any], args: list[Any]) -> Any:
        return self._module.__dict__[message["name"]]

    def _call(self, message: dict[str, Any], args: list[Any]) -> Any:
        named = decode(message["named"], self._handles.__getitem__)
        return self._handles[message["of"]](*args, **named)

    def _attribute(self, message: dict[str, Any], args: list[Any]) -> Any:
        return getattr(self._handles[message["of"]], message["name"])

    def _assign(self, message: dict[str, Any], args: list[Any]) -> None:
        setattr(self._handles[message["of"]], message["name"], args[0])

    def _list(self, message: dict[str, Any], args: list[Any]) -> list[Any]:
        items = iter(self._handles[message["of"]])
        return [item for item, _ in zip(items, range(MAX_ITEMS), strict=False)]

    def _text(self, message: dict[str, Any], args: list[Any]) -> str:
        return str(self._handles[message["of"]])

    def _item(self, message: dict[str, Any], args: list[Any]) -> Any:
        return self._handles[message["of"]][args[0]]

    def _length(self, message: dict[str, Any], args: list[Any]) -> int:
        return len(self._handles[message["of"]])

    def _encode(self, value: Any) -> Any:
        return encode(value, self._number)

    def _number(self, value: Any) -> int:
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._handles)
            self._handles.append(value)
        return self._numbers[id(value)]

    def _notice(self, frame: FrameType, event: str, arg: Any) -> None:
        if frame.f_code.co_filename != PROGRAM:
            return
        if event == "call":
            self._spans.add(_span(frame.f_code))
        elif event == "return":
            self._line = frame.f_lineno


def _span(code: CodeType) -> tuple[int, int]:
    lines = [line for _, _, line in code.co_lines() if line]
    return (code.co_firstlineno, max(lines, default=code.co_firstlineno))


def _described(error: BaseException, line: int | None) -> dict[str, Any]:
    """Name, message and line: the innermost line of the program's, or where it can't be read."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == PROGRAM]
    if isinstance(error, SyntaxError) and error.filename == PROGRAM:
        lines = [error.lineno]
    return {
        "type": type(error).__name__,
        "message": str(error)[:MAX_MESSAGE_CHARS],
        "line": lines[-1] if lines else line,
    }


def _out_of_time(number: int, frame: FrameType | None) -> None:
    raise OutOfTime


def main(trace: bool) -> None:
    """Answer until the tests' side has no more questions."""
    link = Link(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)  # the program's own input is empty, and nobody reads what it prints
    os.dup2(nothing, 1)
    signal.signal(signal.SIGALRM, _out_of_time)
    sys.path.remove(".")
    runner = Runner(trace=trace)
    try:
        link.send("ready")
        while True:
            link.send(runner.answer(link.receive()))
    except Gone:
        os._exit(0)
