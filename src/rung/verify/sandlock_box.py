"""sandlock (https://pypi.org/project/sandlock): Landlock and seccomp, for where bwrap can't be had.

It needs no Debian package, `pip install sandlock` is enough, but a kernel with Landlock. It is
young. Around it stands a namespace of processes (util-linux's unshare) where the machine allows
one: all that a program has started dies with it. Where it does not, processes that leave the group
are found by nobody but sandlock itself.

Weaker than bubblewrap: the program has our user id; files outside can't be read, but that they are
there can be seen; each file is limited, and not all files together.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rung.core import RungError
from rung.verify.sandbox import check_works, limiting, put_files
from rung.verify.supervise import ENVIRONMENT, Limits, Outcome, supervise

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
            command = [*_apart(), sys.executable, "-I", str(_LAUNCHER), settings]
            command += [*limiting(limits, of_user=False), *argv]
            return supervise(command, limits, stdin=stdin, stdout=stdout, until=until, cwd=folder)


@functools.cache
def _apart() -> tuple[str, ...]:
    """The command that starts another among processes of its own; nothing where none can be."""
    as_user = () if os.geteuid() == 0 else ("--user", "--map-current-user")
    command = ("unshare", *as_user, "--pid", "--fork", "--kill-child", "--mount-proc")
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, env=ENVIRONMENT)
    except OSError:
        return ()
    return command if tried.returncode == 0 else ()


def _settings(folder: str, limits: Limits) -> dict[str, object]:
    readable = [path for path in (*_READABLE, sys.base_prefix) if os.path.exists(path)]
    return {
        "fs_readable": [*readable, folder],
        "fs_writable": [folder, "/dev/null"],
        "max_memory": f"{limits.memory_bytes // 2**20}M",
        "max_processes": limits.processes,
        "cwd": folder,
        # it names itself by its process number, which is not its own in two namespaces
        "name": Path(folder).name,
    }
