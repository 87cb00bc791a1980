"""Run a program that nobody trusts: what a sandbox promises, and which one this machine has.

Tried in order: bubblewrap with seccomp and resource limits under an unprivileged user id
(`rung.verify.bubblewrap`), then sandlock (`rung.verify.sandlock_box`), then a refusal in one
sentence. A plain process on this machine (`LocalSandbox`) is taken only where the user asked for
it in so many words.

What is not covered, by any of them:

- The kernel is the host's: a hole in it is a hole in the sandbox. For programs of people who are
  out to harm you, use a virtual machine behind the same protocol.
- The memory limit holds for each process, so a program may take `processes` times as much, and a
  little kernel memory beside it. The process limit is small for that reason.
- Time can be read: a program can measure what runs beside it on the same cores.
- The interpreter and all of /usr can be read.
- A program without root rights shares its user id with whoever started rung, as seen from outside
  (inside it is nobody); on kernels before 5.14 all of that user's processes then count in the
  process limit, so the program may be able to start none.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rung.core import RungError
from rung.verify.supervise import Limits, Outcome, supervise


class Sandbox(Protocol):
    """Runs a program. When `run` is back, nothing of it runs any more."""

    @property
    def name(self) -> str:
        """Which one it is."""
        ...

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
        """Run `argv` in a fresh folder that holds `files`.

        Args:
            files: The folder's content, by path.
            argv: The command. Paths are relative to the folder.
            limits: What it may use.
            stdin: A file descriptor to read from, closed here; else there is nothing to read.
            stdout: A file descriptor to write to, closed here; else the output is kept.
            until: A file descriptor; the run is ended when it can be read or its pipe is closed.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalSandbox:
    """No sandbox: a plain process with limits, that may read and do all that you may.

    Processes that leave their group (daemons) are not found and go on running.
    """

    name: str = "unsafe-local"

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
            command = [*limiting(limits, of_user=False), *argv]
            return supervise(command, limits, stdin=stdin, stdout=stdout, until=until, cwd=folder)


def find_sandbox(*, unsafe_local: bool = False) -> Sandbox:
    """The best sandbox that works here.

    Args:
        unsafe_local: The user has asked to run programs without a sandbox.

    Raises:
        RungError: There is none; the sentence says what to install.
    """
    from rung.verify.bubblewrap import BubblewrapSandbox
    from rung.verify.sandlock_box import SandlockSandbox

    if unsafe_local:
        return LocalSandbox()
    reasons: list[str] = []
    for kind in (BubblewrapSandbox, SandlockSandbox):
        try:
            return kind.found()
        except RungError as error:
            reasons.append(str(error))
    raise RungError(
        f"there is no sandbox to run programs in ({'; '.join(reasons)}); install bubblewrap"
        " (apt-get install bubblewrap), or give --unsafe-local to run them unprotected"
    )


def put_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, with the folders that they need."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def python_command(*argv: str) -> list[str]:
    """This interpreter without site packages, environment variables or bytecode files."""
    return [os.path.realpath(sys.executable), "-I", "-S", "-B", *argv]


def limiting(limits: Limits, *, of_user: bool = True) -> list[str]:
    """The command (util-linux) that sets resource limits and runs what stands behind it.

    Args:
        limits: What may be used.
        of_user: Limit the processes too. They are counted over all of a user's, so this is for
            users (or user namespaces) that have no others; root has no such limit at all.
    """
    kinds = {
        "as": limits.memory_bytes,
        "cpu": round(limits.wall_s) + 1,
        "fsize": limits.file_bytes,
        "nofile": 64,
        "core": 0,
    }
    if of_user:
        kinds["nproc"] = limits.processes
    tool = shutil.which("prlimit") or "/usr/bin/prlimit"
    return [tool, *(f"--{kind}={value}:{value}" for kind, value in kinds.items())]


def check_works(sandbox: Sandbox) -> None:
    """Run a trivial program.

    Raises:
        RungError: It does not run; the sentence holds what the sandbox said.
    """
    argv = python_command("-c", "print(6 * 7)")
    try:
        outcome = sandbox.run({}, argv, Limits())
    except OSError as error:
        raise RungError(f"{sandbox.name} does not start: {error}") from error
    if outcome.stdout.strip() != b"42":
        said = outcome.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RungError(f"{sandbox.name} does not work here: {said[-1] if said else 'no word'}")
