"""Scripts of recipes and benchmarks, run in the test's own process, which has torch already."""

from __future__ import annotations

import contextlib
import importlib
import io
import runpy
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from unittest import mock

SCRIPTS = Path(__file__).resolve().parents[1]
"""Whose folders have modules of the same names: what one has loaded is not there for the next."""


class Said(NamedTuple):
    """What a script has printed."""

    out: str
    err: str


@contextlib.contextmanager
def modules_of(folder: Path) -> Iterator[None]:
    """A folder's modules can be imported, and are gone afterwards."""
    path, before = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - before:
            if _is_a_scripts(getattr(sys.modules[name], "__file__", None)):
                del sys.modules[name]


def module_of(folder: Path, name: str) -> ModuleType:
    """One of a folder's modules, which may import what all recipes share."""
    with modules_of(SCRIPTS / "recipes" / "common"), modules_of(folder):
        return importlib.import_module(name)


def run_script(path: Path, *words: object) -> Said:
    """Run a script as its command line would: a warning does not end it.

    Raises:
        AssertionError: It ends with another code than 0.
    """
    out, err = io.StringIO(), io.StringIO()
    argv = [str(path), *map(str, words)]
    with (
        modules_of(path.parent),
        mock.patch.object(sys, "argv", argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(action="ignore"),
    ):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            assert not end.code, err.getvalue()
    return Said(out.getvalue(), err.getvalue())


def _is_a_scripts(file: str | None) -> bool:
    folders = (SCRIPTS / "recipes", SCRIPTS / "benchmarks")
    return file is not None and any(folder in Path(file).parents for folder in folders)
