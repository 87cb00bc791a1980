"""What the formats share: small helpers between a source's row and rung's values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rung.core.types import Problem, Verdict

Row = dict[str, Any]
"""One row of a source, as JSON gives it."""

Neutral = Literal["good", "bad", "unlabeled"]
"""What a rating of 0 means as a training target: 1, 0, or not a target."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a source leaves open, decided by whoever reads it."""

    neutral: Neutral = "good"
    steps_by: str | None = None
    """How to cut a solution that comes as one text; None is the format's own way."""


def problem_of(
    question: str,
    answer: str | None = None,
    *,
    id: str | None = None,
    domain: str | None = None,
    tests: tuple[str, ...] | None = None,
) -> Problem:
    """A problem; when the source gives it no id, its id is the hash of its question."""
    return Problem(id or Problem("", question).root_id, question, answer, tests, domain)


def labels_to_first_error(num_steps: int, first_error: int | None) -> tuple[float | None, ...]:
    """Step labels where a source says only which step (0-based) is the first wrong one.

    Steps before it are 1, it is 0, later ones are not judged (None). Without an error all are 1.

    Raises:
        ValueError: The chain has no such step.
    """
    if first_error is None:
        return (1.0,) * num_steps
    if not 0 <= first_error < num_steps:
        raise ValueError(f"the first error is step {first_error} (0-based) of {num_steps} steps")
    return (*(1.0,) * first_error, 0.0, *(None,) * (num_steps - first_error - 1))


def label_of_rating(rating: int | None, neutral: Neutral) -> float | None:
    """The training target that stands for a person's -1, 0 or +1.

    Raises:
        ValueError: The rating is another number.
    """
    if rating is None:
        return None
    if rating not in (-1, 0, 1):
        raise ValueError(f"a rating is -1, 0 or 1, not {rating}")
    if rating == 0:
        return {"good": 1.0, "bad": 0.0, "unlabeled": None}[neutral]
    return 1.0 if rating == 1 else 0.0


def verdict_of(is_correct: bool | None) -> Verdict | None:
    """A source's word on the final answer, as a verdict."""
    if is_correct is None:
        return None
    return Verdict.CORRECT if is_correct else Verdict.INCORRECT


def rest_of(row: Mapping[str, Any], *known: str) -> Row:
    """The fields of a row that rung has no own place for, to be kept in `meta`."""
    return {name: value for name, value in row.items() if name not in known}
