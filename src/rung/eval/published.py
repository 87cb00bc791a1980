"""Results that others have published, to stand beside one's own: `published.json`.

Each row names its source. They are the sources' numbers, on the sources' chains, without intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from rung.core import RungError

FILE = "published.json"


@dataclass(frozen=True, slots=True)
class Source:
    """Where numbers were published."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """What one source says of one model, in percent."""

    model: str
    kind: Literal["PRM", "ORM", "critic", "rule"]
    """A critic is a language model that was asked; a rule is majority, oracle and the like."""
    source: str
    values: dict[str, float]
    """By the benchmark's columns; a column that the source leaves open is missing."""


@dataclass(frozen=True, slots=True)
class PublishedBenchmark:
    """All that is known of one benchmark."""

    name: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    sources: dict[str, Source]
    """Those that the rows name."""


class _Benchmark(msgspec.Struct):
    name: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]


class _File(msgspec.Struct):
    sources: dict[str, Source]
    benchmarks: list[_Benchmark]


def published_results(names: Sequence[str] = ()) -> list[PublishedBenchmark]:
    """The benchmarks of these names, or all.

    Raises:
        RungError: There is no benchmark of a name.
    """
    known = _read()
    for name in names:
        if name not in known:
            raise RungError(f"nothing is published here of {name!r}, only of {', '.join(known)}")
    return [known[name] for name in names or known]


@cache
def _read() -> dict[str, PublishedBenchmark]:
    text = files("rung.eval").joinpath(FILE).read_bytes()
    content = msgspec.json.decode(text, type=_File)
    return {
        one.name: PublishedBenchmark(
            one.name,
            one.about,
            one.columns,
            one.rows,
            {key: content.sources[key] for key in dict.fromkeys(row.source for row in one.rows)},
        )
        for one in content.benchmarks
    }
