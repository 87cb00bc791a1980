"""A real PostgreSQL from the Debian package, started for the tests and gone with them."""

import contextlib
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from needed import missing

BINARIES = Path("/usr/lib/postgresql")
"""Debian keeps each version's programs here, out of the path."""


def programs() -> Path:
    """The folder of the newest version's programs; skips where there is none, fails in CI."""
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        missing("postgresql")
    return found[-1].parent


@contextlib.contextmanager
def running_postgres(*, is_durable: bool = False) -> Iterator[Callable[[], str]]:
    """Gives a function that makes a new database and returns its URL.

    Args:
        is_durable: Write through to the disk, as a real one does; tests have no use for that.
    """
    bin = programs()
    folder = tempfile.mkdtemp(prefix="rung-pg-", dir="/tmp")  # short: it holds a socket
    as_user = {"user": _someone(folder)} if os.geteuid() == 0 else {}

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **as_user)
        assert done.returncode == 0, done.stdout + done.stderr

    data = f"{folder}/data"
    try:
        run(f"{bin}/initdb", "-D", data, "-U", "rung", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-k {folder} -c listen_addresses= -c max_connections=200"
        options += "" if is_durable else " -c fsync=off"
        run(f"{bin}/pg_ctl", "-D", data, "-l", f"{folder}/log", "-w", "-o", options, "start")
        names = (f"ratings{k}" for k in itertools.count())

        def new_database() -> str:
            name = next(names)
            run(f"{bin}/createdb", "-h", folder, "-U", "rung", name)
            return f"postgresql://rung@/{name}?host={folder}"

        yield new_database
    finally:
        with contextlib.suppress(AssertionError):
            run(f"{bin}/pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _someone(folder: str) -> str:
    """A user that PostgreSQL is willing to run as, who owns the folder."""
    name = "postgres"
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        pytest.skip("needs the user postgres, which the Debian package makes")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return name
