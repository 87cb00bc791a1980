"""Output that survives a kill: rows gather in a partial file beside it, and a rerun goes on there.

The partial file begins with a fingerprint of what the rows are made from. A rerun with the same
fingerprint keeps the complete rows and makes the rest; with another it starts afresh. Beside a
finished output a small hidden file may say what it was made from: then it is left as it is when it
is to be made from the same again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import msgspec

from rung.core.codec import decode_record, write_records
from rung.core.errors import RungError, UnavailableError
from rung.core.files import STDIN, claim, create_binary, make_room, replacing
from rung.core.protocols import Progress
from rung.core.urls import local_copy, local_path, url_of, working_path


@dataclass(frozen=True, slots=True)
class PartialRows:
    """Rows on their way into an output file."""

    done: int
    """Rows kept from an earlier run: make those after them."""
    _stream: IO[bytes] | None
    """None where all rows are there."""

    def append(self, rows: Iterable[bytes]) -> None:
        """Add whole rows of JSONL, each with its newline; they outlive a kill from here on."""
        assert self._stream is not None, "all rows were there"
        self._stream.write(b"".join(rows))
        self._stream.flush()


@dataclass(frozen=True, slots=True)
class _Finished:
    """What a finished output was made from, beside it."""

    fingerprint: str
    rung: str
    rows: int
    digest: str
    """Of the output itself: one that was changed is made anew."""


@contextlib.contextmanager
def resumable_rows(
    out: Path,
    fingerprint: str,
    progress: Progress,
    *,
    rows_a_chunk: int = 1,
    keeps_finished: bool = False,
) -> Generator[PartialRows]:
    """Gather rows for `out`; it appears, compressed by its suffix, when the block ends well.

    After a kill, an interrupt or a crash the partial file stays and the next run goes on from it.
    After a `RungError` nothing stays: the input has to change, and with it the fingerprint. Of
    those an `UnavailableError` counts as an interrupt.

    Args:
        out: JSONL (plain, .gz, .zst) or Parquet; for Parquet the rows must be rung records.
        fingerprint: Names all that the rows depend on (see `fingerprint_of`).
        progress: Told when a run goes on from, or throws away, an earlier one's rows.
        rows_a_chunk: Rows made together. Only whole chunks are kept, so the rest is made in the
            same chunks as in an unbroken run.
        keeps_finished: Leave a finished output of the same fingerprint and version of rung as it
            is; then all rows are done. At a URL it is made anew.
    """
    make_room(out)
    if keeps_finished and (finished := _finished(out, fingerprint)):
        progress.log(f"{out} is there, made from the same; without it, it is made anew")
        yield PartialRows(finished.rows, None)
        return
    partial = partial_path(out)
    make_room(partial)
    with open(partial, "ab") as stream:
        claim(stream, partial)
        done = _keep_whole_rows(partial, _header(fingerprint), rows_a_chunk, progress)
        try:
            yield PartialRows(done, stream)
        except UnavailableError:
            raise
        except RungError:
            partial.unlink()
            raise
        rows = _move_into_place(partial, out)
    if keeps_finished and url_of(out) is None:
        told = _Finished(fingerprint, version("rung"), rows, _digest_of(out).hex())
        with replacing(_finished_path(out)) as aside:
            aside.write_bytes(msgspec.json.encode(told))


def _finished_path(out: Path) -> Path:
    """The hidden file that says what a finished `out` was made from."""
    return partial_path(out).with_suffix(".made")


def _finished(out: Path, fingerprint: str) -> _Finished | None:
    try:
        told = msgspec.json.decode(_finished_path(out).read_bytes(), type=_Finished)
        is_same = (told.fingerprint, told.rung) == (fingerprint, version("rung"))
        return told if is_same and told.digest == _digest_of(out).hex() else None
    except (OSError, msgspec.DecodeError):
        return None


def partial_path(out: Path) -> Path:
    """Where the rows for `out` gather: beside it, or for a URL in rung's cache."""
    here = working_path(out)
    return here.with_name(f".{here.name}.partial")


def fingerprint_of(inputs: Sequence[str | Path], settings: Any) -> str:
    """Hash the settings and the inputs: a file by its content, any other name as it is.

    Standard input can't be read twice, so copy it into a file first.

    Raises:
        ValueError: An input is standard input.
    """
    digest = hashlib.blake2b(msgspec.json.encode(settings, order="deterministic"), digest_size=16)
    for source in inputs:
        if str(source) == STDIN:
            raise ValueError("standard input has no fingerprint")
        digest.update(_digest_of(Path(source)))
    return digest.hexdigest()


def _digest_of(path: Path) -> bytes:
    if url_of(path) is None and not local_path(path).is_file():
        return hashlib.blake2b(str(path).encode()).digest()
    with local_copy(path) as here, open(here, "rb") as stream:
        return hashlib.file_digest(stream, hashlib.blake2b).digest()


def _header(fingerprint: str) -> bytes:
    return msgspec.json.encode({"fingerprint": fingerprint}) + b"\n"


def _keep_whole_rows(partial: Path, header: bytes, rows_a_chunk: int, progress: Progress) -> int:
    """Cut the partial file behind its last whole chunk; return the rows before the cut."""
    rows, end = _whole_rows(partial, header, rows_a_chunk)
    if end is None:
        if partial.stat().st_size:
            progress.log("starting over: the inputs or the settings are not those of the last run")
        partial.write_bytes(header)
        return 0
    os.truncate(partial, end)
    if rows:
        progress.log(f"going on after the {rows} rows of an earlier run")
    return rows


def _whole_rows(partial: Path, header: bytes, rows_a_chunk: int) -> tuple[int, int | None]:
    """The complete rows and where they end; no end when there is nothing to go on from."""
    with open(partial, "rb") as stream:
        if stream.readline() != header:
            return 0, None
        rows, end, position = 0, len(header), len(header)
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                break
            position += len(line)
            if number % rows_a_chunk == 0:
                rows, end = number, position
    return rows, end


def _move_into_place(partial: Path, out: Path) -> int:
    """The rows that were moved."""
    with open(partial, "rb") as stream:
        rows = sum(1 for _ in stream) - 1
        stream.seek(0)
        stream.readline()
        if out.suffix == ".parquet":
            write_records(out, map(decode_record, stream))
        else:
            with create_binary(out) as target:
                shutil.copyfileobj(stream, target)
    partial.unlink()
    return rows
