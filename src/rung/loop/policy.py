"""The policy that a run has trained, opened to write chains."""

from __future__ import annotations

from pathlib import Path

from rung.generate import TransformersGenerator
from rung.model import load_causal_lm
from rung.model.device import pick_device
from rung.verify import extract_answer


def open_policy(folder: Path) -> TransformersGenerator:
    """A causal LM in a folder, on a GPU where there is one.

    Raises:
        InputError: It can't be read.
    """
    loaded = load_causal_lm(folder)
    loaded.model.to(pick_device())
    return TransformersGenerator(*loaded, extract_answer=extract_answer)
