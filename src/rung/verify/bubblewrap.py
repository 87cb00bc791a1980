"""bubblewrap (https://github.com/containers/bubblewrap): namespaces, seccomp and limits.

Started by root, bwrap builds the namespaces with root's rights and the program runs under a user
id that nobody has. It must: root has no process limit (RLIMIT_NPROC does nothing), and a user id
inside a user namespace of root's is still root to the counter. Each run takes another id, because
the processes of a run that is dying still count. Started by a user, bwrap makes a user namespace,
where processes are counted afresh, and forbids further ones.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import secrets
import shutil
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rung.core import RungError
from rung.verify.sandbox import check_works, limiting
from rung.verify.seccomp import ARCHES, seccomp_filter
from rung.verify.supervise import Limits, Outcome, supervise

BOX = "/tmp"
"""Where the files lie inside; the only place that can be written to."""
_FEW_UIDS = range(65000, 65534)
"""Reserved by Debian policy 9.2.2 and used by nobody; for containers that know only 2^16 ids."""
_MANY_UIDS = range(0x70000000, 0x70000000 + 2**24)


@dataclass(frozen=True, slots=True)
class BubblewrapSandbox:
    """A `Sandbox`. `found` makes it where it works."""

    name: str = "bubblewrap"

    @staticmethod
    @functools.cache
    def found() -> BubblewrapSandbox:
        """The sandbox, tried once.

        Raises:
            RungError: It is not installed, or the machine does not let it work.
        """
        sandbox = BubblewrapSandbox()
        missing = [t for t in ("bwrap", "prlimit", "setpriv") if shutil.which(t) is None]
        if missing:
            raise RungError(f"bubblewrap can't be used, {', '.join(missing)} not found")
        if os.uname().machine not in ARCHES:
            raise RungError(f"bubblewrap is not used on {os.uname().machine}: no seccomp filter")
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
        with contextlib.ExitStack() as stack:
            fds = {name: stack.enter_context(_in_memory(files[name])) for name in files}
            rules = stack.enter_context(_in_memory(_rules()))
            command = ["bwrap", *_walls(limits), *_files(fds), "--seccomp", str(rules), "--"]
            command += [*_user(), *limiting(limits), *argv]
            return supervise(
                command,
                limits,
                stdin=stdin,
                stdout=stdout,
                until=until,
                pass_fds=[*fds.values(), rules],
            )


def _walls(limits: Limits) -> list[str]:
    """Namespaces, and a file system of /usr, the interpreter, /proc, a bare /dev and BOX."""
    size = str(limits.file_bytes)
    options = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--hostname", "box", "--new-session", "--die-with-parent"]
    options += ["--cap-drop", "ALL", *_rights()]
    for place in ("/lib", "/lib64", "/bin", "/sbin"):
        if os.path.islink(place):
            options += ["--symlink", os.readlink(place), place]
        else:
            options += ["--ro-bind-try", place, place]
    options += [
        "--ro-bind",
        "/usr",
        "/usr",
        "--ro-bind-try",
        "/etc/ld.so.cache",
        "/etc/ld.so.cache",
    ]
    options += _interpreter(Path(sys.base_prefix).resolve())
    options += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    options += ["--size", size, "--perms", "1777", "--tmpfs", BOX, "--chdir", BOX]
    return options


def _interpreter(prefix: Path) -> list[str]:
    """Where Python lives, if not in /usr; folders on the way (a home, say) are seen empty."""
    if prefix.is_relative_to("/usr"):
        return []
    options: list[str] = []
    for folder in [*prefix.parents][-2::-1]:
        options += ["--perms", "0755", "--dir", str(folder)]
    return [*options, "--ro-bind", str(prefix), str(prefix)]


def _rights() -> list[str]:
    """As root, only what setpriv needs to leave root; as a user, a user namespace."""
    if os.geteuid() == 0:
        return ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return ["--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534"]


def _files(fds: Mapping[str, int]) -> list[str]:
    options: list[str] = []
    for name, fd in fds.items():
        options += ["--perms", "0444", "--file", str(fd), f"{BOX}/{name}"]
    return [*options, "--remount-ro", "/"]


def _user() -> list[str]:
    if os.geteuid() != 0:
        return []
    uid = str(next(_uids()))
    tool = shutil.which("setpriv") or "setpriv"
    return [tool, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all", "--"]


@functools.cache
def _uids() -> Iterator[int]:
    """User ids in turn, from a place of chance: other processes of rung's run beside us."""
    mapped = [int(m.split()[2]) for m in Path("/proc/self/uid_map").read_text().splitlines()]
    uids = _MANY_UIDS if max(mapped) > _MANY_UIDS.stop else _FEW_UIDS
    start = secrets.randbelow(len(uids))
    return itertools.cycle(itertools.chain(uids[start:], uids[:start]))


@functools.cache
def _rules() -> bytes:
    return seccomp_filter(ARCHES[os.uname().machine])


@contextlib.contextmanager
def _in_memory(content: bytes) -> Generator[int]:
    """A file descriptor to read `content` from, without a file."""
    fd = os.memfd_create("rung")
    try:
        with open(fd, "wb", closefd=False) as stream:
            stream.write(content)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)
