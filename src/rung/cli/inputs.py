"""What the verbs that read chains share."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

import tyro

from rung.core.codec import Skipped
from rung.core.errors import InputError, RungError
from rung.core.files import STDIN
from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.core.urls import local_copy, url_of
from rung.data import Neutral, load

Chains = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="CHAINS [CHAINS ...]", help_behavior_hint="(required)"),
]
"""The type of a verb's chains: files of any format, "-", or Hugging Face datasets."""
Files = Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE ...", help_behavior_hint="")]
"""The type of an option that takes any number of files, and none by default."""
Separator = Annotated[str, tyro.conf.arg(help_behavior_hint=lambda text: f"(default: {text!r})")]
"""The type of an option whose default is a line end, which the help shows as an escape."""


@contextlib.contextmanager
def read_twice(sources: Sequence[str]) -> Generator[tuple[str, ...]]:
    """Give sources that can be read more than once: standard input and URLs are copied into files.

    Raises:
        RungError: There is no source.
    """
    if not sources:
        raise RungError("nothing to read: give a file of chains, or - for standard input")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "stdin"
        if STDIN in sources:
            with open(copy, "wb") as stream:
                shutil.copyfileobj(sys.stdin.buffer, stream)
        try:
            with contextlib.ExitStack() as copies:
                enter = copies.enter_context
                here = [
                    source if url_of(source) is None else str(enter(local_copy(source)))
                    for source in sources
                ]
                yield tuple(str(copy) if source == STDIN else source for source in here)
        except InputError as error:
            if error.file != str(copy):
                raise
            raise InputError(error.reason, file="standard input", line=error.line) from error


def records_of(
    sources: Sequence[str], format: str | None, neutral: Neutral, skipped: Skipped | None
) -> Iterator[ChainRecord]:
    """The chains of all sources, one source after the other (see `rung.data.load`)."""
    return chain.from_iterable(
        load(source, format=format, neutral=neutral, skipped=skipped) for source in sources
    )


def tell_skipped(progress: Progress, skipped: Skipped) -> None:
    """Say how many rows were left out, and why the first of them were."""
    for reason in skipped.reasons:
        progress.log(f"left out: {reason}")
    if skipped.count > len(skipped.reasons):
        progress.log(f"left out: {skipped.count - len(skipped.reasons)} more")
