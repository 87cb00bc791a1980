"""What says how an implicit PRM of ours is read: ``implicit.json``, beside a causal LM.

The folder is an ordinary causal LM; the model it is read against, its trunk before training, lies
in ``reference/`` within.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from rung.core.errors import InputError
from rung.core.files import replacing

IMPLICIT_FILE = "implicit.json"
REFERENCE = "reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImplicitReading:
    """How chains are shown (see `rung.model.render`), and what makes scores of log ratios.

    A step's score is ``sigmoid(coefficient * sum of log(policy / reference))`` over the tokens of
    the steps up to the end of the step's separator (arXiv 2412.01981, section 3).
    """

    question_separator: str
    step_separator: str
    max_tokens: int
    coefficient: float
    loss: str
    """The loss the model was trained with: "ce" or "dpo"."""
    trunk: str
    """The name of the model that training started from."""


def is_implicit(folder: str | Path) -> bool:
    """Whether the folder holds an implicit PRM of ours."""
    return (Path(folder) / IMPLICIT_FILE).exists()


def save_implicit_reading(reading: ImplicitReading, folder: Path) -> None:
    """Write ``implicit.json`` into `folder`."""
    encoded = msgspec.json.format(msgspec.json.encode(reading), indent=2)
    with replacing(folder / IMPLICIT_FILE) as aside:
        aside.write_bytes(encoded + b"\n")


def load_implicit_reading(folder: Path) -> ImplicitReading | None:
    """Read ``implicit.json`` from `folder`; None where there is none.

    Raises:
        InputError: It does not say what rung needs to know.
    """
    path = folder / IMPLICIT_FILE
    if not is_implicit(folder):
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=ImplicitReading)
    except msgspec.DecodeError as error:
        reason = f"this does not say how to read the model ({error})"
        raise InputError(reason, file=str(path)) from None
