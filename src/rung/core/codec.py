"""Rung's own files: one `ChainRecord` a row, as JSONL (plain, .gz, .zst) or Parquet.

Every row carries the schema version under ``"rung"``. A row that can't be read is refused with
file, line and JSON path, or skipped and counted when the caller asks for that.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rung.core.errors import InputError
from rung.core.files import create_binary, open_binary
from rung.core.types import ChainRecord, Problem
from rung.core.urls import local_copy, name_of

SCHEMA_VERSION = 1
T = TypeVar("T")
R = TypeVar("R", "_Row", "_ProblemRow")


@dataclass(slots=True)
class Skipped:
    """Rows that were left out on request, with the reasons of the first few."""

    count: int = 0
    reasons: list[str] = field(default_factory=list[str])

    def add(self, error: InputError) -> None:
        """Count one more."""
        self.count += 1
        if len(self.reasons) < 5:
            self.reasons.append(str(error))


class _Row(msgspec.Struct):
    rung: int
    record: ChainRecord


class _ProblemRow(msgspec.Struct):
    rung: int
    problem: Problem


_row_decoder = msgspec.json.Decoder(_Row)
_problem_decoder = msgspec.json.Decoder(_ProblemRow)
_any_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def read_records(path: str | Path, *, skipped: Skipped | None = None) -> Iterator[ChainRecord]:
    """Read a rung file, row by row.

    Args:
        path: A file or URL of JSONL (plain, .gz, .zst) or Parquet, or "-" for JSONL on standard
            input.
        skipped: When given, bad rows are counted there instead of raising.

    Raises:
        InputError: The file or a row in it can't be read, or the file holds no rows.
    """
    rows = _parquet_lines(path) if str(path).endswith(".parquet") else read_lines(path)
    return decode_lines(rows, decode_record, file=name_of(path), skipped=skipped)


def write_records(path: Path, records: Iterable[ChainRecord]) -> int:
    """Write a rung file in one piece; return the number of rows."""
    if path.suffix == ".parquet":
        return _write_parquet(path, records)
    count = 0
    with create_binary(path) as stream:
        for record in records:
            stream.write(encode_record(record))
            count += 1
    return count


def read_problems(path: str | Path, *, skipped: Skipped | None = None) -> Iterator[Problem]:
    """Read a rung file of problems: JSONL (plain, .gz, .zst), or "-" for standard input.

    Raises:
        InputError: The file or a row in it can't be read, or the file holds no rows.
    """
    return decode_lines(read_lines(path), decode_problem, file=name_of(path), skipped=skipped)


def write_problems(path: Path, problems: Iterable[Problem]) -> int:
    """Write a rung file of problems in one piece; return the number of rows."""
    count = 0
    with create_binary(path) as stream:
        for problem in problems:
            stream.write(encode_problem(problem))
            count += 1
    return count


def encode_problem(problem: Problem) -> bytes:
    """One row of JSONL, with its newline."""
    return _encoder.encode(_ProblemRow(SCHEMA_VERSION, problem)) + b"\n"


def decode_problem(line: bytes) -> Problem:
    """Read one row of JSONL.

    Raises:
        ValueError: Said with the JSON path where there is one.
    """
    return _decode(line, _problem_decoder).problem


def problem_from(row: Any) -> Problem:
    """Read one row that was decoded already; errors as `decode_problem`."""
    _check_version(row)
    return msgspec.convert(row, _ProblemRow).problem


def encode_record(record: ChainRecord) -> bytes:
    """One row of JSONL, with its newline."""
    return _encoder.encode(_Row(SCHEMA_VERSION, record)) + b"\n"


def decode_record(line: bytes) -> ChainRecord:
    """Read one row of JSONL.

    Raises:
        ValueError: Said with the JSON path where there is one.
    """
    return _decode(line, _row_decoder).record


def record_from(row: Any) -> ChainRecord:
    """Read one row that was decoded already; errors as `decode_record`."""
    _check_version(row)
    return msgspec.convert(row, _Row).record


def read_lines(path: str | Path) -> Iterator[bytes]:
    """The lines of a file that may be compressed, without line ends."""
    with open_binary(path) as stream:
        for line in stream:
            yield line.rstrip(b"\r\n")


def decode_lines(
    lines: Iterable[bytes],
    decode: Callable[[bytes], T],
    *,
    file: str,
    skipped: Skipped | None = None,
) -> Iterator[T]:
    """Decode line by line with clear errors; blank lines are passed over.

    Raises:
        InputError: A line can't be decoded (and `skipped` is None), or there are no rows at all.
    """
    num_rows = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        num_rows += 1
        try:
            yield decode(line)
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            failure = InputError(explain_row(error, line), file=file, line=number)
            if skipped is None:
                raise failure from error
            skipped.add(failure)
    if num_rows == 0:
        raise InputError("the file is empty, expected one row a line", file=file)


def explain_row(error: Exception, line: bytes) -> str:
    """Say in one clause what is wrong with a line."""
    if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        byte = re.search(r"\(byte (\d+)\)", str(error))
        if byte is None:
            return f"this is not valid JSON ({error}); the line ends in {_excerpt(line[-40:])}"
        at = int(byte[1])
        return f"this is not valid JSON ({error}) near {_excerpt(line[max(0, at - 20) : at + 20])}"
    return str(error)


def _excerpt(part: bytes) -> str:
    return repr(part.decode("utf-8", "replace"))


def _decode(line: bytes, decoder: msgspec.json.Decoder[R]) -> R:
    try:
        row = decoder.decode(line)
    except msgspec.ValidationError:
        with contextlib.suppress(msgspec.DecodeError):
            _check_version(_any_decoder.decode(line))
        raise
    _check_version({"rung": row.rung})
    return row


def _check_version(row: Any) -> None:
    version = row.get("rung") if isinstance(row, dict) else None
    if version is None:
        raise ValueError("this is not a row of a rung file (no 'rung' version)")
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"schema version {version!r}, this rung reads {SCHEMA_VERSION} - at `$.rung`"
        )


def _parquet_lines(path: str | Path) -> Iterator[bytes]:
    from rung.core import parquet

    with local_copy(path) as here:
        yield from parquet.read_rows(here)


def _write_parquet(path: Path, records: Iterable[ChainRecord]) -> int:
    from rung.core import parquet

    return parquet.write_rows(path, (msgspec.to_builtins(r) for r in records), SCHEMA_VERSION)
