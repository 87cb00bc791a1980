"""Does a study that was run again land inside the intervals that were published of it?

`python recipes/common/inside.py recipes/prm-vs-orm/results.json prm-vs-orm/results.json`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import tyro
from command import run_command

from rung.core import RungError

VALUES = ("value", "accuracy", "difference", "ratio")
"""What a number with an interval is called."""
SHOWN = 20
TINY = 1e-9
"""Differences up to this are rounding."""


@dataclass(frozen=True, slots=True)
class Again:
    """What to compare."""

    published: Annotated[Path, tyro.conf.Positional]
    """The results.json that the pages are made from."""
    again: Annotated[Path, tyro.conf.Positional]
    """The one that another run of the same command wrote."""


class Found(NamedTuple):
    """A published number with its interval, where it stands, and the new number."""

    where: str
    value: float
    low: float
    high: float
    new: float

    @property
    def is_inside(self) -> bool:
        """Whether the new number lies in the published interval."""
        return self.low - TINY <= self.new <= self.high + TINY


def main(told: Again) -> None:
    """Compare them, and fail where a number lies outside.

    Raises:
        RungError: A file can't be read, the two are of different sizes, or a number is outside.
    """
    found = list(numbers(_read(told.published), _read(told.again)))
    if not found:
        raise RungError(f"{told.published} has no number with an interval")
    outside = [one for one in found if not one.is_inside]
    equal = sum(abs(one.new - one.value) <= TINY for one in found)
    print(f"{len(found) - len(outside)} of {len(found)} numbers lie inside, {equal} are equal")
    for one in outside[:SHOWN]:
        print(f"{one.where}: {one.new:.4g}, published {one.low:.4g} to {one.high:.4g}")
    if outside:
        raise RungError(f"{len(outside)} numbers lie outside their published intervals")


def numbers(one: Any, new: Any, where: str = "results") -> Iterator[Found]:
    """Every published number that has an interval.

    Raises:
        RungError: The new results have nothing at its place.
    """
    if isinstance(one, Mapping):
        name = next((name for name in VALUES if name in one), None)
        if name is not None and one.get("low") is not None:
            if not isinstance(new, Mapping) or new.get(name) is None:
                raise RungError(f"the new results have no number at {where}")
            yield Found(where, one[name], one["low"], one["high"], new[name])
            return
        for key, part in one.items():
            there = new.get(key) if isinstance(new, Mapping) else None
            yield from numbers(part, there, f"{where}.{key}")
    elif isinstance(one, Sequence) and not isinstance(one, str):
        for k, part in enumerate(one):
            there = new[k] if isinstance(new, Sequence) and k < len(new) else None
            yield from numbers(part, there, f"{where}[{k}]")


def _read(file: Path) -> Any:
    try:
        return msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise RungError(f"{file} can't be read as results ({error})") from error


if __name__ == "__main__":
    run_command(main, Again, "inside", __doc__)
