"""Files that are elsewhere, by URL: through fsspec, and over HTTP without it.

`pathlib` folds the slashes behind a URL's scheme into one, so ``s3://bucket/x`` travels through
rung as the path ``s3:/bucket/x``. What opens or writes a file unfolds it here. A file that is
elsewhere is copied before it is read, and written aside and sent when it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any, NoReturn

from rung.core.errors import InputError, MissingExtraError, RungError, UnavailableError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.+)", re.DOTALL)
"""At least two letters before the colon: C:/ is a drive."""
HTTP = ("http", "https")
TIMEOUT_S = 60.0
"""Of a silence on the line."""


def url_of(path: str | Path) -> str | None:
    """The URL of a file that is elsewhere; None for a path on this machine and for file://."""
    match = _URL.fullmatch(str(path))
    if match is None or match[1].lower() == "file":
        return None
    return f"{match[1].lower()}://{match[2]}"


def name_of(path: str | Path) -> str:
    """The file's name as the user knows it: the URL, or the path."""
    return url_of(path) or local_name(path)


def local_path(path: str | Path) -> Path:
    """The path that a file:// URL names; any other path as it is."""
    match = _URL.fullmatch(str(path))
    return Path(f"/{match[2]}") if match and match[1].lower() == "file" else Path(path)


def local_name(path: str | Path) -> str:
    """The path that a file:// URL names, any other as it was written."""
    here = local_path(path)
    return str(path) if here == Path(path) else str(here)


@contextlib.contextmanager
def local_copy(path: str | Path) -> Generator[Path]:
    """A file of this machine with the content of `path`: itself, or a copy that is gone later.

    Raises:
        InputError: There is no such file. (A mistake in the copy is said of the URL, too.)
        UnavailableError: It can't be fetched for now.
        MissingExtraError: fsspec is not installed.
    """
    url = url_of(path)
    if url is None:
        yield local_path(path)
        return
    with tempfile.TemporaryDirectory(prefix="rung-") as folder:
        copy = Path(folder) / (_file_name(url) or "file")
        fetch(url, copy)
        try:
            yield copy
        except InputError as error:
            if error.file != str(copy):
                raise
            raise InputError(error.reason, file=url, line=error.line) from error


def fetch(url: str, to: Path) -> None:
    """Copy what is at a URL into a file; errors as `local_copy`."""
    try:
        if url.split(":")[0] in HTTP:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, open(to, "wb") as stream:
                shutil.copyfileobj(answer, stream)
        else:
            files, name = _files_at(url)
            files.get_file(name, str(to))
    except (OSError, ValueError) as error:
        _say(url, error)


def send(file: Path, url: str) -> None:
    """Put a whole file at a URL, where it appears when all of it is there.

    Raises:
        UnavailableError: It can't be written.
    """
    files, name = _files_at(url)
    try:
        with files.transaction:
            files.put_file(str(file), name)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{url}: can't be written ({_reason(error)})") from error


def check_writable(url: str) -> None:
    """See that something can be written there before anything is computed for it.

    Raises:
        RungError: Nothing is ever written to such a URL, or its file system is not installed.
    """
    if url.split(":")[0] in HTTP:
        raise RungError(f"{url}: rung reads over HTTP but does not write there")
    _files_at(url)


def exists(path: str | Path) -> bool:
    """Whether there is a file with something in it."""
    url = url_of(path)
    if url is None:
        here = local_path(path)
        return here.is_file() and here.stat().st_size > 0
    check_writable(url)
    files, name = _files_at(url)
    try:
        return files.isfile(name) and bool(files.size(name))
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{url}: can't be looked at ({_reason(error)})") from error


def refuse_url(path: Path) -> None:
    """Refuse a folder that is elsewhere, where a run needs one on this machine.

    Raises:
        RungError: It is a URL.
    """
    if (url := url_of(path)) is not None:
        raise RungError(f"{url}: this needs a folder on this machine, to be copied when it is done")


def cache_folder() -> Path:
    """Where rung keeps what it can make again: ``$XDG_CACHE_HOME/rung``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "rung"


def working_path(path: Path) -> Path:
    """Where on this machine a file is written that grows: a log, or rows on their way into `path`.

    It is `path` itself, or for a URL a file of the same name in the cache, so that a run that is
    stopped goes on on this machine.
    """
    url = url_of(path)
    if url is None:
        return local_path(path)
    key = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    return cache_folder() / "urls" / key / path.name


@contextlib.contextmanager
def growing(path: Path) -> Generator[Path]:
    """A file of this machine to append to: `path` itself, or a copy that is sent back at the end.

    The copy of an unfinished run on this machine goes before what is at the URL.
    """
    url, here = url_of(path), working_path(path)
    if url is None:
        yield here
        return
    here.parent.mkdir(parents=True, exist_ok=True)
    if not here.exists() and exists(path):
        fetch(url, here)
    try:
        yield here
    finally:
        if here.exists():
            send(here, url)
            here.unlink()


def _files_at(url: str) -> tuple[Any, str]:
    """The file system of a URL and the file's name in it."""
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError("fsspec", "remote") from None
    try:
        files, name = fsspec.core.url_to_fs(url)
    except ImportError as error:  # fsspec says which package it takes: s3fs, gcsfs, adlfs
        raise RungError(f"{url}: {error}") from error
    except ValueError as error:
        raise RungError(f"{url}: this is no URL of a file ({error})") from error
    return files, str(name)


def _file_name(url: str) -> str:
    path = urllib.parse.urlsplit(url).path if url.split(":")[0] in HTTP else url
    return path.rstrip("/").rsplit("/", 1)[-1]


def _say(url: str, error: Exception) -> NoReturn:
    if isinstance(error, FileNotFoundError) or getattr(error, "code", None) == 404:
        raise InputError("there is no such file", file=url) from error
    raise UnavailableError(f"{url}: can't be fetched ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
