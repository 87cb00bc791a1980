"""sandlock (https://pypi.org/project/sandlock): Landlock and seccomp, for where bwrap can't be had.

It needs no namespaces and no Debian package, `pip install sandlock` is enough, but a kernel with
Landlock. It is young. Weaker than bubblewrap: the program shares this machine's process numbers
and our user id, and processes that leave the group are found by nobody but sandlock itself.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rung.core import RungError
from rung.verify.sandbox import check_works, limiting, put_files
from rung.verify.supervise import Limits, Outcome, supervise

_LAUNCHER = Path(__file__).with_name("sandlock_launch.py")
_READABLE = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/dev/urandom")


@dataclass(frozen=True, slots=True)
class SandlockSandbox:
    """A `Sandbox`. `found` makes it where it works."""

    name: str = "sandlock"

    @staticmethod
    @functools.cache
    def found() -> SandlockSandbox:
        """The sandbox, tried once.

        Raises:
            RungError: It is not installed, or the machine does not let it work.
        """
        if importlib.util.find_spec("sandlock") is None:
            raise RungError("sandlock is not installed")
        sandbox = SandlockSandbox()
        check_works(sandbox)
        return sandbox

    def run(
        self,
        files: Mapping[str, bytes],
        argv: Sequence[str],
        limits: Limits,
        *,
        stdin: int | None = None,
        stdout: int | None = None,
        until: int | None = None,
    ) -> Outcome:
        """See `Sandbox.run`."""
        with tempfile.TemporaryDirectory(prefix="rung-") as folder:
            put_files(Path(folder), files)
            settings = json.dumps(_settings(folder, limits))
            command = [sys.executable, "-I", str(_LAUNCHER), settings]
            command += [*limiting(limits, of_user=False), *argv]
            return supervise(command, limits, stdin=stdin, stdout=stdout, until=until, cwd=folder)


def _settings(folder: str, limits: Limits) -> dict[str, object]:
    readable = [path for path in (*_READABLE, sys.base_prefix) if os.path.exists(path)]
    return {
        "fs_readable": [*readable, folder],
        "fs_writable": [folder, "/dev/null"],
        "max_memory": f"{limits.memory_bytes // 2**20}M",
        "max_processes": limits.processes,
        "cwd": folder,
    }
