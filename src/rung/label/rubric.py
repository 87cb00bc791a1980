"""Rubrics: what a judge looks for in work that no verifier can check. TOML, written by the user."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from rung.core.errors import InputError
from rung.core.urls import local_copy, name_of

Combine = Literal["all", "mean"]


class Criterion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing to look for."""

    name: str
    ask: str
    """The question that "pass" answers with yes."""
    weight: float = 1.0


class Rubric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Criteria, and how their verdicts on a step become its label.

    all: 0 if a criterion fails, else None if the judge was unsure of one, else 1. mean: the share
    of the weight that passes, of the criteria with a verdict. A criterion that does not concern a
    step is left out; a step that none concerns has no label.
    """

    name: str
    criteria: tuple[Criterion, ...]
    combine: Combine = "all"

    def label(self, verdicts: Sequence[str | None]) -> float | None:
        """A step's label, from one verdict a criterion ("pass", "fail", "unsure", "none")."""
        concerned = [(c, v) for c, v in zip(self.criteria, verdicts, strict=True) if v != "none"]
        known = [(c.weight, v == "pass") for c, v in concerned if v in ("pass", "fail")]
        if not known:
            return None
        if self.combine == "mean":
            return sum(w for w, passes in known if passes) / sum(w for w, _ in known)
        if not all(passes for _, passes in known):
            return 0.0
        return 1.0 if len(known) == len(concerned) else None


def read_rubric(path: Path) -> Rubric:
    """Open a rubric.

    Raises:
        InputError: There is no such file, or it is no rubric.
    """
    try:
        with local_copy(path) as here:
            rubric = msgspec.convert(tomllib.loads(here.read_text("utf-8")), Rubric)
    except OSError as error:
        raise InputError(f"can't be read ({error.strerror})", file=name_of(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise InputError(f"this is no rubric ({error})", file=name_of(path)) from error
    names = [criterion.name for criterion in rubric.criteria]
    if not names or len(set(names)) < len(names):
        raise InputError("a rubric needs criteria, each with a name of its own", file=name_of(path))
    if not all(criterion.weight > 0 for criterion in rubric.criteria):
        raise InputError("a criterion's weight must be above 0", file=name_of(path))
    return rubric
