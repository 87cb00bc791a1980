"""Files that are never half-written: everything is written aside and moved into place."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import IO, cast

import zstandard

from rung.core.errors import InputError

STDIN = "-"


@contextlib.contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Give a temporary path beside `path`; move it there at the end, delete it on error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def open_binary(path: str | Path) -> Generator[IO[bytes]]:
    """Open a file for reading: plain, ``.gz``, ``.zst``, or ``-`` for standard input.

    Raises:
        InputError: There is no such file, or it can't be read.
    """
    name = str(path)
    if name == STDIN:
        yield sys.stdin.buffer
        return
    try:
        with open(name, "rb") as raw, _decompressed(raw, name) as stream:
            yield stream
    except FileNotFoundError:
        raise InputError("there is no such file", file=name) from None
    except IsADirectoryError:
        raise InputError("this is a folder, expected a file", file=name) from None
    except (gzip.BadGzipFile, zstandard.ZstdError, EOFError) as error:
        raise InputError(f"the compressed data is damaged ({error})", file=name) from error


@contextlib.contextmanager
def create_binary(path: Path) -> Generator[IO[bytes]]:
    """Open `path` for writing, compressed by its suffix; it appears when all is written."""
    with replacing(path) as aside, open(aside, "wb") as raw:
        if path.suffix == ".gz":
            # mtime=0: the same rows give the same bytes
            with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as stream:
                yield cast("IO[bytes]", stream)
        elif path.suffix == ".zst":
            with zstandard.ZstdCompressor().stream_writer(raw, closefd=False) as stream:
                yield cast("IO[bytes]", stream)
        else:
            yield raw


def _decompressed(raw: IO[bytes], name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    if name.endswith(".gz"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if name.endswith(".zst"):
        reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
        return io.BufferedReader(cast("io.RawIOBase", reader))
    return contextlib.nullcontext(raw)
