"""How the verbs that need to know what is right open a verifier."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Literal

from rung.core.protocols import Labeler, Scorer, Verifier
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


@contextlib.contextmanager
def with_verifier(scorer: Scorer | None, name: StepLabelsBy | None) -> Generator[Scorer | None]:
    """The scorer, with the labeler of that name beside it: the stricter one counts."""
    from rung.score import LabelingScorer, StrictestScorer

    if scorer is None or name is None:
        yield scorer
        return
    with open_labeler(name) as labeler:
        yield StrictestScorer((scorer, LabelingScorer(labeler)))
