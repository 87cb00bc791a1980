"""How a checkpoint is to be read: kept beside the weights as ``rung.json``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from rung.core.errors import InputError
from rung.core.files import replacing

READING_FILE = "rung.json"
READING_VERSION = 1

Kind = Literal["prm", "orm"]
HeadName = Literal["scalar", "2-class", "3-class", "tokens"]

CLASSES: dict[HeadName, tuple[str, ...]] = {
    "scalar": ("right",),
    "2-class": ("wrong", "right"),
    "3-class": ("wrong", "neutral", "right"),
    "tokens": ("wrong", "right"),
}
"""What the rows of each head stand for, in order; ``config.json`` names them too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reward model was trained to be shown, and where its scores stand.

    A chain is shown as `rung.model.render` writes it. The score of a step is read at the last
    token of the separator behind the step; an ORM's one score stands at the last step.
    """

    kind: Kind
    head: HeadName = "scalar"
    """The score is sigmoid(logit) of a scalar head; of every other, the softmax mass of the
    classes that are no mistake: right, and neutral as in ReasonEval (arXiv 2404.05692)."""
    label_words: tuple[str, str] | None = None
    """The right and the wrong word whose LM-head rows a head of label tokens started from."""
    question_separator: str = "\n"
    """Written behind the question."""
    step_separator: str = "\n"
    """Written behind every step; the step's score is read at its last token."""
    max_tokens: int = 2048
    """Tokens a rendered chain may have; steps that end beyond have no score."""
    loss: str = "bce"
    """The loss the model was trained with."""
    label_source: str | None = None
    """Whose labels it was trained on; None for an ORM, whose labels are outcomes."""
    trunk: str | None = None
    """The name of the model that training started from."""
    version: int = READING_VERSION


def save_reading(reading: Reading, folder: Path) -> None:
    """Write ``rung.json`` into `folder`."""
    encoded = msgspec.json.format(msgspec.json.encode(reading), indent=2)
    with replacing(folder / READING_FILE) as aside:
        aside.write_bytes(encoded + b"\n")


def load_reading(folder: Path) -> Reading:
    """Read ``rung.json`` from `folder`.

    Raises:
        InputError: It is not there, or it does not say what rung needs to know.
    """
    path = folder / READING_FILE
    try:
        reading = msgspec.json.decode(path.read_bytes(), type=Reading)
    except FileNotFoundError:
        reason = f"the checkpoint lacks {READING_FILE}, which says how it is to be read"
        raise InputError(reason, file=str(folder)) from None
    except msgspec.DecodeError as error:
        raise InputError(
            f"this does not say how to read the model ({error})", file=str(path)
        ) from None
    if reading.version != READING_VERSION:
        reason = f"version {reading.version}, this rung reads {READING_VERSION}"
        raise InputError(reason, file=str(path))
    return reading
