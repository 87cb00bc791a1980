"""How the verbs that need to know what is right open a verifier."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Literal

from rung.core.protocols import Labeler, Verifier
from rung.label import ArithmeticLabeler, LabLabeler
from rung.verify import AnswerVerifier, CodeVerifier, find_sandbox
from rung.verify.calculator import Calculator

StepLabelsBy = Literal["lab", "arithmetic"]


@contextlib.contextmanager
def open_verifier(name: str, *, unsafe_local: bool = False) -> Generator[Verifier]:
    """The verifier of final answers: "answer", "lab" or "code".

    Raises:
        RungError: Programs are to be run, and there is no sandbox.
    """
    if name == "lab":
        yield LabLabeler()
    elif name == "code":
        yield CodeVerifier(find_sandbox(unsafe_local=unsafe_local))
    else:
        with AnswerVerifier() as verifier:
            yield verifier


@contextlib.contextmanager
def open_labeler(name: StepLabelsBy) -> Generator[Labeler]:
    """The automatic labeler of steps of that name."""
    if name == "lab":
        yield LabLabeler()
    else:
        with Calculator() as calculator:
            yield ArithmeticLabeler(checker=calculator)
