"""Read any format from anywhere, and write those that others read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rung.core.codec import Skipped, explain_row, write_records
from rung.core.errors import InputError, RungError, UnknownFormatError
from rung.core.files import create_binary
from rung.core.types import ChainRecord, Problem, StepLabels
from rung.data.formats import FORMATS, OWN, Format, detect
from rung.data.rows import Choices, Neutral
from rung.data.sources import Item, decode, read_items

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Opened:
    """A source whose format is known; its rows can be read once."""

    name: str
    format: Format
    _items: Iterator[Item]

    def records(self, choices: Choices, skipped: Skipped | None) -> Iterator[ChainRecord]:
        """The chains; arguments and errors are those of `load`."""
        read = self.format.read
        if read is None:
            raise self._lacks("chains")
        return _decoded(self._items, lambda row: read(row, choices), skipped)

    def problems(self, skipped: Skipped | None) -> Iterator[Problem]:
        """The problems; arguments and errors are those of `load_problems`."""
        problem, read = self.format.problem, self.format.read
        if problem is not None:
            return _decoded(self._items, lambda row: (problem(row),), skipped)
        if read is None:
            raise self._lacks("problems")
        return _distinct(_decoded(self._items, lambda row: read(row, Choices()), skipped))

    def _lacks(self, what: str) -> InputError:
        return InputError(
            f"{self.format.name} rows hold no {what}: {self.format.about}", file=self.name
        )


def load(
    source: str | Path,
    *,
    format: str | None = None,
    neutral: Neutral = "good",
    steps_by: str | None = None,
    skipped: Skipped | None = None,
) -> Iterator[ChainRecord]:
    """Read chains, row by row.

    Args:
        source: A file, a folder, "-" or a Hugging Face dataset; see `read_items`.
        format: A name in `FORMATS`; without it the first row tells.
        neutral: What a person's rating of 0 means as a label (PRM800K).
        steps_by: How to cut solutions that come as one text (GSM8K, MATH, samples without
            steps); see `split_steps`. Steps that the source gives stay as they are.
        skipped: When given, rows that can't be read are counted there instead of raising.

    Raises:
        InputError: A row can't be read, the format is unknown or holds no chains, or there are
            no rows. The sentence names the file and the line.
        RungError: There is no format of that name, or a dataset can't be had.
    """
    return open_source(source, format).records(Choices(neutral, steps_by), skipped)


def load_problems(
    source: str | Path, *, format: str | None = None, skipped: Skipped | None = None
) -> Iterator[Problem]:
    """Read problems: each row of a problem set, or the distinct problems that chains are for.

    Arguments and errors are those of `load`.
    """
    return open_source(source, format).problems(skipped)


def format_of(source: str | Path) -> Format:
    """The format that the first row of a source looks like.

    Raises:
        InputError: It looks like none, or there are no rows.
    """
    return open_source(source, None).format


def write(
    path: Path, records: Iterable[ChainRecord], format: str = "rung", labels: str | None = None
) -> int:
    """Write chains in one piece; return the number of rows.

    Args:
        path: The file; compressed by its suffix, and Parquet for rung's own format.
        records: The chains.
        format: "rung", or a format with a `write`.
        labels: The source of the labels to write, where a record has several.

    Raises:
        RungError: The format can't be written, or a record can't be said in it.
    """
    if format == OWN.name:
        return write_records(path, records)
    count = 0
    with create_binary(path) as stream:
        for line in encoded(records, format, labels):
            stream.write(line)
            count += 1
    return count


def encoded(records: Iterable[ChainRecord], format: str, labels: str | None) -> Iterator[bytes]:
    """The lines that `write` writes."""
    kind = _named(format)
    if kind.write is None:
        known = ", ".join(["rung", *(f.name for f in FORMATS.values() if f.write)])
        raise RungError(f"rung reads {format} but doesn't write it, it writes {known}")
    for number, record in enumerate(records, start=1):
        try:
            row = kind.write(record, _labels_of(record, labels))
        except ValueError as error:
            raise RungError(f"chain {number} can't be written as {format}: {error}") from error
        yield msgspec.json.encode(row) + b"\n"


def _labels_of(record: ChainRecord, source: str | None) -> StepLabels:
    labels = record.labels_from(source)
    if labels is None:
        names = ", ".join(repr(y.source) for y in record.labels) or "none"
        wanted = "one set of labels" if source is None else f"labels from {source!r}"
        raise ValueError(f"it needs {wanted}, the chain has {names}")
    return labels


def open_source(source: str | Path, format: str | None) -> Opened:
    """Open a source and find its format, by name or by its first row.

    Raises:
        InputError: The format is unknown, or there are no rows.
        RungError: There is no format of that name, or a dataset can't be had.
    """
    named = None if format is None else _named(format)
    items = read_items(source)
    first = next(items, None)
    if first is None:
        raise InputError("the file is empty, expected rows of JSON", file=str(source))
    if named is not None:
        return Opened(str(source), named, chain([first], items))
    seen = [first]
    while (row := _try_decode(seen[-1])) is None:  # a broken row is the reader's to complain of
        item = next(items, None)
        if item is None:
            raise _failure(seen[0])
        seen.append(item)
    return Opened(str(source), _detected(row, seen[-1]), chain(seen, items))


def _try_decode(item: Item) -> Any:
    try:
        return decode(item.content)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None


def _failure(item: Item) -> InputError:
    assert isinstance(item.content, bytes)
    try:
        decode(item.content)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        return InputError(explain_row(error, item.content), file=item.file, line=item.line)
    return InputError("the row is null, expected a JSON object", file=item.file, line=item.line)


def _detected(row: Any, item: Item) -> Format:
    kind = detect(row)
    if kind is not None:
        return kind
    what = f"fields {', '.join(row)}" if isinstance(row, dict) else f"a {type(row).__name__}"
    raise UnknownFormatError(
        f"unknown format: the row has {what}; name one of the known formats if it is one"
        f" ({', '.join(FORMATS)})",
        file=item.file,
        line=item.line,
    )


def _named(format: str) -> Format:
    if format not in FORMATS:
        raise RungError(f"there is no format {format!r}; known are {', '.join(FORMATS)}")
    return FORMATS[format]


def _decoded(
    items: Iterable[Item], read: Callable[[Any], Iterable[T]], skipped: Skipped | None
) -> Iterator[T]:
    for item in items:
        try:
            values = list(read(_object(decode(item.content))))
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            line = item.content if isinstance(item.content, bytes) else b""
            failure = InputError(explain_row(error, line), file=item.file, line=item.line)
            if skipped is None:
                raise failure from error
            skipped.add(failure)
            continue
        yield from values


def _object(row: Any) -> Any:
    if not isinstance(row, dict):
        raise ValueError(f"the row is a {type(row).__name__}, expected a JSON object")
    return row


def _distinct(records: Iterable[ChainRecord]) -> Iterator[Problem]:
    seen: set[str] = set()
    for record in records:
        problem = record.chain.problem
        if problem.root_id not in seen:
            seen.add(problem.root_id)
            yield problem
