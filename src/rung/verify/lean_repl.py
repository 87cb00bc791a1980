"""A process that runs Lean 4's REPL: a request in JSON, a blank line, and a reply likewise.

The protocol is that of https://github.com/leanprover-community/repl (its README and
REPL/JSON.lean at 8948401ab4924499421c94b7facdfca5ff27d81d):

- ``{"cmd": TEXT, "env": N}`` runs commands behind those of environment N (without it: afresh,
  imports allowed) and gives ``env``, ``messages``, and for every ``sorry`` a ``proofState``.
- ``{"tactic": TEXT, "proofState": N}`` runs one tactic and gives the new ``proofState``, its
  ``goals``, ``messages``, ``sorries`` and ``proofStatus``.
- What can't be run at all gives ``{"message": TEXT}`` alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any, cast

import msgspec

from rung.core import RungError

MAX_REPLY_BYTES = 2**22
"""A REPL that writes more has lost its way."""
_END = b"\n\n"


class Message(msgspec.Struct):
    """What Lean says of a piece of text."""

    severity: str
    data: str


class Hole(msgspec.Struct):
    """A `sorry`: something that is claimed and not proved."""

    goal: str = ""
    proof_state: int | None = msgspec.field(default=None, name="proofState")


class LeanReply(msgspec.Struct):
    """A reply to a command or to a tactic."""

    env: int | None = None
    proof_state: int | None = msgspec.field(default=None, name="proofState")
    proof_status: str | None = msgspec.field(default=None, name="proofStatus")
    """"Completed" where all is proved; also "Incomplete: ..." and "Error: ..."."""
    goals: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    sorries: tuple[Hole, ...] = ()
    message: str | None = None
    """Why it could not be run at all."""

    @property
    def error(self) -> str | None:
        """The first error; None when there is none."""
        if self.message is not None:
            return self.message.removeprefix("Lean error:\n")
        return next((m.data for m in self.messages if m.severity == "error"), None)


class LeanGoneError(Exception):
    """The REPL gave no reply and has been ended: it took too long, died, or wrote too much."""


class LeanRepl:
    """One REPL. Used by one thread at a time.

    Args:
        command: How it is started.

    Raises:
        RungError: There is no such command.
    """

    def __init__(self, command: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,  # `lake` starts the REPL as a child
            )
        except OSError as error:
            raise RungError(f"Lean's REPL can't be started: {error}") from error
        self._read = bytearray()

    @property
    def is_alive(self) -> bool:
        """Whether it can take another request."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> LeanReply:
        """The reply.

        Raises:
            LeanGoneError: There is none.
        """
        expired = threading.Event()
        killer = threading.Timer(timeout_s, self._kill, [expired])
        killer.start()
        try:
            block = self._exchange(msgspec.json.encode(request) + _END)
        finally:
            killer.cancel()
            killer.join()
        try:
            return msgspec.json.decode(block, type=LeanReply)
        except (ValueError, msgspec.DecodeError) as error:
            self.close()
            reason = "it took too long" if expired.is_set() else _why(block)
            raise LeanGoneError(reason) from error

    def _exchange(self, request: bytes) -> bytes:
        """The bytes of one reply; fewer where the process is gone."""
        stdin = cast("IO[bytes]", self._process.stdin)
        with contextlib.suppress(BrokenPipeError):
            left = memoryview(request)
            while left:
                left = left[stdin.write(left) :]
        stdout = cast("IO[bytes]", self._process.stdout).fileno()
        while _END not in self._read and len(self._read) <= MAX_REPLY_BYTES:
            piece = os.read(stdout, 2**16)
            if not piece:
                break
            self._read += piece
        block, _, rest = bytes(self._read).partition(_END)
        self._read = bytearray(rest)
        return block

    def _kill(self, expired: threading.Event) -> None:
        expired.set()
        self._kill_group()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it."""
        if self.is_alive:  # its group's number is not another's yet
            self._kill_group()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                cast("IO[bytes]", stream).close()


def _why(block: bytes) -> str:
    if len(block) > MAX_REPLY_BYTES:
        return f"it wrote more than {MAX_REPLY_BYTES} bytes"
    return "it wrote what is no reply" if block.strip() else "it died"
