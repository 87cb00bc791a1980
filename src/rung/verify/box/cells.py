"""Runs the cells of an agent's Python one after the other, as a notebook does.

A line of JSON on stdout for each: what it printed, with its last expression's value behind that,
and the error that ended it. See `rung.verify.cells`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import signal
from typing import Any

CELLS = "cells.json"


class OutOfTime(BaseException):
    """The cell takes too long; no `except Exception` of its own holds it up."""


def run_cell(code: str, names: dict[str, Any]) -> None:
    """Run a cell; the value of an expression at its end is printed, unless it is None."""
    tree = ast.parse(code)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    exec(compile(tree, "<cell>", "exec"), names)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
        if value is not None:
            print(repr(value))


def main() -> None:
    """Run all cells in one namespace."""
    with open(CELLS, encoding="utf-8") as stream:
        task = json.load(stream)
    with open(os.dup(1), "w", encoding="utf-8") as report:
        signal.signal(signal.SIGALRM, _expire)
        names: dict[str, Any] = {"__name__": "__main__"}
        for code in task["cells"]:
            printed, error = io.StringIO(), None
            signal.setitimer(signal.ITIMER_REAL, task["limit_s"])
            try:
                with contextlib.redirect_stdout(printed):
                    run_cell(code, names)
            except OutOfTime:
                error = "timeout"
            except BaseException as raised:
                error = f"{type(raised).__name__}: {raised}"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            report.write(json.dumps({"output": printed.getvalue(), "error": error}) + "\n")
            report.flush()


def _expire(*_: Any) -> None:
    raise OutOfTime
