"""Which sandbox the tests have (none is a skip, and a failure in CI), and how it is attacked."""

import os
import time
from pathlib import Path

from needed import missing
from rung import RungError
from rung.verify import Limits, Outcome, Sandbox
from rung.verify.bubblewrap import BubblewrapSandbox
from rung.verify.sandbox import python_command

QUICK = Limits(wall_s=20.0)


def bubblewrap() -> BubblewrapSandbox:
    """The sandbox; skips, naming the package, where it is missing (and fails under CI=true)."""
    try:
        return BubblewrapSandbox.found()
    except RungError as error:
        missing("bubblewrap", error)


def attack(sandbox: Sandbox, source: str, limits: Limits = QUICK) -> Outcome:
    """Run a program under a name that can be looked for, and see that nothing of it is left."""
    mark = f"attack-{os.getpid()}-{time.monotonic_ns()}"
    argv = python_command("attack.py", mark)
    outcome = sandbox.run({"attack.py": source.encode()}, argv, limits)
    assert not running(mark)
    return outcome


def running(mark: str) -> list[str]:
    """Processes with `mark` in their command line, after a moment to die in."""
    found: list[str] = []
    for _ in range(100):
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if mark.encode() in path.read_bytes():
                    found.append(path.parent.name)
            except OSError:  # gone meanwhile
                continue
        if not found:
            break
        time.sleep(0.02)
    return found


def tried(code: str) -> str:
    """A program that prints what came of `code`, an expression."""
    return (
        f"try:\n    print('got', {code})\nexcept BaseException as e:\n    print(type(e).__name__)\n"
    )
