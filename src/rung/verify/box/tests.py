"""Beside the tests: runs them, and asks the program's side for every call.

The tests' names for the program's functions stand for calls into another sandbox. Values that come
back are plain data (`rung.verify.box.wire`), so the program can't print a verdict, leave with exit
code 0, patch `assert` or be equal to everything: the only way to pass is to return what is asked.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from rung.verify.box.wire import Gone, Late, Link, decode, encode

GRACE_S = 0.5
"""How much longer than the program's own alarm the answer may take."""
MAX_MESSAGE_CHARS = 500


class ProgramError(Exception):
    """The program raised an exception that isn't a built-in one."""


class Unsendable(Exception):
    """A test hands the program something that can't be said as data."""


class Remote:
    """A function or object of the program's. Equal only to itself."""

    __slots__ = ("_number", "_program")
    _number: int
    _program: Program

    def __init__(self, program: Program, number: int) -> None:
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Have it called there."""
        return self._program.ask("call", self._number, args=list(args), named=named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._program.ask("attribute", self._number, name=name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._program.ask("assign", self._number, name=name, args=[value])

    def __iter__(self) -> Iterator[Any]:
        return iter(self._program.ask("list", self._number))

    def __getitem__(self, key: Any) -> Any:
        return self._program.ask("item", self._number, args=[key])

    def __len__(self) -> int:
        return self._program.ask("length", self._number)

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return str(self._program.ask("text", self._number))


class Program:
    """The program's side, as seen from the tests."""

    def __init__(self, link: Link, limit_s: float) -> None:
        self._link = link
        self._limit_s = limit_s
        self._remotes: dict[int, Remote] = {}
        self.raised: BaseException | None = None
        self.is_late = False
        self.is_unreadable = False
        self.line: int | None = None
        self.spans: set[tuple[int, int]] = set()

    def forget(self) -> None:
        """Begin another test."""
        self.raised, self.is_late, self.line, self.spans = None, False, None, set()

    def ask(
        self,
        op: str,
        of: int | None = None,
        *,
        name: str | None = None,
        args: list[Any] | None = None,
        named: dict[str, Any] | None = None,
    ) -> Any:
        """Have something done; lists, dicts and sets among `args` become what they became there.

        Raises:
            Exception: What the program raised, where it is a built-in exception.
            Gone, Late: There is no answer.
        """
        message = {"op": op, "of": of, "name": name, "limit_s": self._limit_s}
        message["args"] = encode(args or [], _number_of)
        message["named"] = encode(named or {}, _number_of)
        self._link.send(message)
        reply = self._link.receive(self._limit_s + GRACE_S)
        try:
            return self._understood(reply, args or [])
        except (LookupError, TypeError, ValueError) as error:
            if error is self.raised:
                raise
            raise Gone("this is no answer") from error

    def _understood(self, reply: Any, args: list[Any]) -> Any:
        line = reply["line"]
        self.line = line if isinstance(line, int) else None
        self.spans |= {(int(first), int(last)) for first, last in reply["spans"]}
        if "error" in reply:
            self._fail(reply["error"])
        for mine, theirs in zip(args, decode(reply["args"], self._remote), strict=True):
            _become(mine, theirs)
        return decode(reply["value"], self._remote)

    def _fail(self, error: Any) -> None:
        kind, text = str(error["type"]), str(error["message"])[:MAX_MESSAGE_CHARS]
        self.line = error["line"] if isinstance(error["line"], int) else None
        self.is_late = kind == "OutOfTime"
        self.is_unreadable = error["unreadable"] is True
        known = getattr(builtins, kind, None)
        if isinstance(known, type) and issubclass(known, Exception):
            try:
                self.raised = known(text)
            except TypeError:  # UnicodeDecodeError wants five arguments
                self.raised = ProgramError(f"{kind}: {text}")
        else:
            self.raised = ProgramError(f"{kind}: {text}")
        raise self.raised

    def _remote(self, number: Any) -> Remote:
        return self._remotes.setdefault(int(number), Remote(self, int(number)))


def _number_of(value: Any) -> int:
    if isinstance(value, Remote):
        return value._number  # pyright: ignore[reportPrivateUsage]
    raise Unsendable(f"a {type(value).__name__} can't be handed to the program")


def _become(mine: Any, theirs: Any) -> None:
    if type(mine) is not type(theirs) or mine == theirs:
        return
    if isinstance(mine, list):
        mine[:] = theirs
    elif isinstance(mine, dict | set):
        mine.clear()
        mine.update(theirs)


def wanted_names(test: ast.Module, has: set[str]) -> set[str]:
    """The names in a test that stand for the program's.

    A built-in name is the program's only in a test that asks for nothing else of it, as
    `assert sum(10, 15) == 6` does: else a program could bring its own `set` or `len`.
    """
    names = [node for node in ast.walk(test) if isinstance(node, ast.Name)]
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    loaded = {node.id for node in names} - stored
    own = loaded - set(dir(builtins)) - modules_of(test) - _defined(test)
    called = {_name(n.func) for n in ast.walk(test) if isinstance(n, ast.Call)}
    return (own or called & loaded) & has


def modules_of(test: ast.Module) -> set[str]:
    """Modules of the standard library that a test uses as such (`math.isclose`)."""
    bases = {_name(node.value) for node in ast.walk(test) if isinstance(node, ast.Attribute)}
    return bases & sys.stdlib_module_names


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _defined(test: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(test):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.arg):
            names.add(node.arg)
    return names


def run_test(program: Program, test: str, has: set[str]) -> dict[str, Any]:
    """Run one test; say how it went."""
    program.forget()
    try:
        tree = ast.parse(test)
        space: dict[str, Any] = {"__name__": "tests"}
        for name in modules_of(tree):
            space[name] = importlib.import_module(name)
        for name in wanted_names(tree, has):
            space[name] = program.ask("get", name=name)
        program.forget()
        exec(compile(tree, "test", "exec"), space)
        status, text = "passed", ""
    except BaseException as error:
        status, text = _status(program, error), _said(error)
    spans = sorted(program.spans)
    text = text[:MAX_MESSAGE_CHARS]
    return {"status": status, "message": text, "line": program.line, "spans": spans}


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _status(program: Program, error: BaseException) -> str:
    if isinstance(error, Late) or program.is_late:
        return "timeout"
    if isinstance(error, Gone):
        return "died"
    if isinstance(error, Unsendable):
        return "unsendable"
    return "raised" if error is program.raised else "failed"


def main() -> None:
    """Run all tests and report on them, a line each."""
    link, report = Link(os.dup(0), os.dup(1)), os.dup(2)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):  # what a test prints is nobody's business
        os.dup2(nothing, fd)

    def say(**what: Any) -> None:
        os.write(report, json.dumps(what).encode() + b"\n")

    with open("tests.json", encoding="utf-8") as stream:
        task = json.load(stream)
    program = Program(link, task["limit_s"])
    try:
        is_ready = link.receive(task["start_s"]) == "ready"
    except (Gone, Late):
        is_ready = False
    say(ready=is_ready)
    if not is_ready:
        return
    _run_all(program, task["tests"], say)


def _run_all(program: Program, tests: list[str], say: Any) -> None:
    try:
        has = {str(name) for name in program.ask("load")}
    except BaseException as error:
        status, text = _status(program, error), _said(error)
        text = text[:MAX_MESSAGE_CHARS]
        say(load=status, message=text, line=program.line, unreadable=program.is_unreadable)
        return
    for test in tests:
        result = run_test(program, test, has)
        say(**result)
        if result["status"] == "died" or (result["status"] == "timeout" and not program.is_late):
            return
