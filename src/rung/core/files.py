"""Files that are never half-written: everything is written aside and moved into place."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from rung.core.errors import InputError, RungError
from rung.core.urls import check_writable, local_copy, local_name, local_path, name_of, send, url_of

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

STDIN = "-"


def make_room(path: Path) -> None:
    """Make the folder that a file will be written into, before anything is computed for it.

    Raises:
        InputError: There can be no such file.
        RungError: It is a URL where nothing can be written.
    """
    if (url := url_of(path)) is not None:
        check_writable(url)
        return
    path = local_path(path)
    if path.is_dir():
        raise InputError("this is a folder, expected the name of a file to write", file=str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"can't make its folder ({error.strerror})", file=str(path)) from error


@contextlib.contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Give a temporary path beside `path`; move it there at the end, delete it on error.

    What goes to a URL is written on this machine and sent at the end.

    Raises:
        InputError: There can be no such file (see `make_room`).
    """
    make_room(path)
    if (url := url_of(path)) is not None:
        with tempfile.TemporaryDirectory(prefix="rung-") as folder:
            yield Path(folder) / path.name
            send(Path(folder) / path.name, url)
        return
    path = local_path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """Give a temporary folder beside `path`; move it there at the end, delete it on error.

    `path` must not hold files yet; of two who make it at once, the later one leaves the first's.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside.mkdir(parents=True)
    try:
        yield aside
        try:
            os.replace(aside, path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def open_binary(path: str | Path) -> Generator[IO[bytes]]:
    """Open a file or a URL for reading: plain, ``.gz``, ``.zst``, or ``-`` for standard input.

    Raises:
        InputError: There is no such file, or it can't be read.
    """
    name = str(path)
    if name == STDIN:
        yield sys.stdin.buffer
        return
    with local_copy(name) as copy:
        here = local_name(name) if url_of(name) is None else str(copy)
        with _opened(here) as raw, _decompressed(raw, here) as stream:
            try:
                yield stream
            except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError, EOFError) as error:
                raise InputError(f"the compressed data is damaged ({error})", file=here) from error


@contextlib.contextmanager
def create_binary(path: Path) -> Generator[IO[bytes]]:
    """Open `path` for writing, compressed by its suffix; it appears when all is written.

    Raises:
        InputError: There can be no such file, or its suffix promises Parquet.
    """
    if path.suffix == ".parquet":
        raise InputError("only rung's own chains are written as Parquet", file=name_of(path))
    with replacing(path) as aside, open(aside, "wb") as raw:
        if path.suffix == ".gz":
            # no time and no name inside: the same rows give the same bytes
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as stream:
                yield cast("IO[bytes]", stream)
        elif path.suffix == ".zst":
            with zstandard.ZstdCompressor().stream_writer(raw, closefd=False) as stream:
                yield cast("IO[bytes]", stream)
        else:
            yield raw


def claim(stream: IO[bytes], path: Path) -> None:
    """Keep a file that is open for oneself until it is closed.

    Raises:
        RungError: Another run has it.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RungError(f"{path}: another run is writing here; wait for its end") from None
    except OSError:  # a file system without locks
        return
    if not path.exists():  # that run has ended just now, and its file with it
        raise RungError(f"{path}: another run was writing here; start again")


def _opened(name: str) -> IO[bytes]:
    try:
        return open(name, "rb")
    except FileNotFoundError:
        raise InputError("there is no such file", file=name) from None
    except IsADirectoryError:
        raise InputError("this is a folder, expected a file", file=name) from None
    except OSError as error:
        raise InputError(f"can't be read ({error.strerror})", file=name) from error


def _decompressed(raw: IO[bytes], name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    if name.endswith(".gz"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if name.endswith(".zst"):
        return io.BufferedReader(_ZstdReader(raw))
    return contextlib.nullcontext(raw)


class _ZstdReader(io.RawIOBase):
    """Decompresses frame after frame.

    zstandard's own stream_reader takes a file that was cut short for one that ends there; rows
    would be lost without a word.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._packed = b""
        self._plain = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain and self._unpack():
            pass
        count = min(len(buffer), len(self._plain))
        buffer[:count], self._plain = self._plain[:count], self._plain[count:]
        return count

    def _unpack(self) -> bool:
        packed = self._packed or self._raw.read(io.DEFAULT_BUFFER_SIZE)
        if not packed and self._frame is not None:
            raise EOFError("it ends in the middle of a frame")
        if not packed:
            return False
        frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
        self._plain = frame.decompress(packed)
        self._packed = frame.unused_data if frame.eof else b""
        self._frame = None if frame.eof else frame
        return True
