"""Policies that continue prefixes. What runs a model loads torch on demand."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rung.generate.acting import Act, ActingGenerator
from rung.generate.records import problems_a_window, sample_windows
from rung.generate.server import ServerGenerator

if TYPE_CHECKING:
    from rung.generate.completer import TransformersCompleter
    from rung.generate.transformers import TransformersGenerator

_HOME = {"TransformersCompleter": "completer", "TransformersGenerator": "transformers"}

__all__ = [
    "Act",
    "ActingGenerator",
    "ServerGenerator",
    "TransformersCompleter",
    "TransformersGenerator",
    "problems_a_window",
    "sample_windows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
