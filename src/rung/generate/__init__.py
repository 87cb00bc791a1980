"""Policies that continue prefixes. What runs a model loads torch on demand."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rung.generate.acting import Act, ActingGenerator
from rung.generate.records import problems_a_window, sample_windows
from rung.generate.server import ServerGenerator
from rung.generate.tokens import TokenChain
from rung.generate.written_log import WrittenLog

if TYPE_CHECKING:
    from rung.generate.completer import TransformersCompleter
    from rung.generate.transformers import TransformersGenerator
    from rung.generate.vllm import VllmGenerator, open_vllm

_HOME = {
    "TransformersCompleter": "completer",
    "TransformersGenerator": "transformers",
    "VllmGenerator": "vllm",
    "open_vllm": "vllm",
}

__all__ = [
    "Act",
    "ActingGenerator",
    "ServerGenerator",
    "TokenChain",
    "TransformersCompleter",
    "TransformersGenerator",
    "VllmGenerator",
    "WrittenLog",
    "open_vllm",
    "problems_a_window",
    "sample_windows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
