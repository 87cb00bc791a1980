"""Policies that continue prefixes. What runs a model loads torch on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rung.generate.records import problems_a_window, sample_windows

if TYPE_CHECKING:
    from rung.generate.transformers import TransformersGenerator

__all__ = ["TransformersGenerator", "problems_a_window", "sample_windows"]


def __getattr__(name: str) -> Any:
    if name != "TransformersGenerator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rung.generate.transformers import TransformersGenerator

    return TransformersGenerator
