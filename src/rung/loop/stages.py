"""What a loop has done so far, kept beside its files, so that a rerun goes on from there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from rung.core.errors import InputError
from rung.core.files import replacing
from rung.core.urls import refuse_url
from rung.eval import Stage

LEDGER = "stages.json"


@dataclass(slots=True)
class Stages:
    """The finished stages of the run in a folder, in order."""

    folder: Path
    settings: dict[str, Any]
    done: list[Stage] = field(default_factory=list[Stage])

    @classmethod
    def open(cls, folder: Path, settings: Any) -> Stages:
        """Find what is done in `folder` under these settings.

        Raises:
            InputError: The folder holds a run with other settings, or is no folder.
            RungError: The folder is not on this machine.
        """
        refuse_url(folder)
        told = msgspec.json.decode(msgspec.json.encode(settings, enc_hook=str))
        if folder.exists() and not folder.is_dir():
            raise InputError("this is a file, expected a folder to write", file=str(folder))
        path = folder / LEDGER
        if not path.exists():
            return cls(folder, told)
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_Ledger)
        except msgspec.DecodeError as error:
            raise InputError(f"this is no list of stages ({error})", file=str(path)) from error
        if kept.settings != told:
            reason = "the folder holds a run with other settings; choose another or delete it"
            raise InputError(reason, file=str(folder))
        return cls(folder, told, kept.stages)

    def run(self, name: str, work: Callable[[], int | None]) -> None:
        """Do `work` unless it is done; it returns its tokens and leaves files in the folder."""
        if any(stage.name == name for stage in self.done):
            return
        started_s = time.monotonic()
        tokens = work()
        self.done.append(Stage(name, time.monotonic() - started_s, tokens))
        with replacing(self.folder / LEDGER) as aside:
            aside.write_bytes(msgspec.json.encode(_Ledger(self.settings, self.done)))


class _Ledger(msgspec.Struct):
    settings: dict[str, Any]
    stages: list[Stage]
