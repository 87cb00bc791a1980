"""What `rung label verify` does with proofs and with the calls of tools."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rung.core import ChainRecord, InputError, Progress, RungError, Skipped
from rung.core.urls import local_copy, name_of
from rung.label import CheckedLabeler
from rung.verify import (
    LeanVerifier,
    ProofVerifier,
    Sandbox,
    StepChecker,
    ToolVerifier,
    find_sandbox,
    read_tool_schema,
)
from rung.verify.lean import COMMAND

CHECKERS = ("proof", "lean", "tools")
LEAN = shlex.join(COMMAND)
MAX_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckerOptions:
    """How steps are checked: options of `rung label verify`."""

    names: Sequence[str]
    workers: int | None = None
    unsafe_local: bool = False
    lean: str = LEAN
    tool: Sequence[str] = ()
    tool_schema: Path | None = None
    timeout_s: float | None = None

    @property
    def fingerprint(self) -> Any:
        """All that findings depend on besides the chains, as JSON."""
        if not set(CHECKERS) & set(self.names):
            return None
        schema = None if self.tool_schema is None else _text(self.tool_schema)
        return [self.lean, list(self.tool), schema, self.timeout_s]


@contextlib.contextmanager
def step_checks(
    options: CheckerOptions, progress: Progress
) -> Generator[list[Callable[[Sequence[ChainRecord]], list[ChainRecord]]]]:
    """What to do to a window of records for proofs and tools.

    Raises:
        RungError: An option is wrong, or what a checker needs is not there.
    """
    if options.timeout_s is not None and options.timeout_s <= 0:
        raise RungError(f"--timeout-s is {options.timeout_s:g}, expected more than 0")
    limits: dict[str, float] = {}
    if options.timeout_s is not None:
        limits = {"timeout_s": options.timeout_s}
    with contextlib.ExitStack() as stack:
        checkers: dict[str, StepChecker] = {}
        if "proof" in options.names:
            proof = ProofVerifier(workers=options.workers, **limits)
            checkers["proof"] = stack.enter_context(proof)
        if "lean" in options.names:
            lean = LeanVerifier(_words(options.lean), workers=options.workers or 1, **limits)
            checkers["lean"] = stack.enter_context(lean)
        if "tools" in options.names:
            tools = _tools(options, limits, progress)
            checkers["tools"] = stack.enter_context(tools)
        yield [CheckedLabeler(checker, name).judge for name, checker in checkers.items()]


def with_readable_premises(
    records: Iterable[ChainRecord], file: str, verifier: ProofVerifier, skipped: Skipped | None
) -> Iterator[ChainRecord]:
    """The records of one file, less those whose problems' formulas can't be read.

    Raises:
        InputError: A problem's formulas can't be read, and none is to be left out.
    """
    for number, record in enumerate(records, start=1):
        try:
            if verifier.can_check(record.chain):
                verifier.read_premises(record.chain.problem)
        except RungError as error:
            bad = InputError(f"chain {number}: {error}", file=file)
            if skipped is None:
                raise bad from error
            skipped.add(bad)
        else:
            yield record


def found_in(record: ChainRecord) -> list[tuple[str, str]]:
    """What the checkers said of a record's steps: (source, words) for each."""
    return [
        (source, str(words))
        for source in CHECKERS
        for words in record.meta.get(source) or ()
        if record.labels_from(source) is not None
    ]


def wrong_steps(record: ChainRecord) -> list[str]:
    """The steps that a checker, or a program's tests, call wrong, each with its reason."""
    return [
        f"{source}: {record.chain.id or record.chain.problem.id}, step {k + 1}: {words}"
        for source in (*CHECKERS, "code")
        if (labels := record.labels_from(source)) is not None
        for k, (label, words) in enumerate(
            zip(labels.labels, _reasons(record, source, len(labels.labels)), strict=False)
        )
        if label == 0
    ]


def _reasons(record: ChainRecord, source: str, count: int) -> Sequence[str]:
    """What was found out about each step, or for all of a program's what failed first."""
    if source != "code":
        return record.meta.get(source) or ()
    for row in record.meta.get("code_tests") or ():
        if row["status"] in ("failed", "raised", "died"):
            test = "it can't be loaded" if row["test"] is None else f"test {row['test']}"
            line = f", line {row['line']}" if "line" in row else ""
            return [f"{test}: {row['status']}{line}: {row.get('message', '')}"] * count
    return [""] * count


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise RungError(f"--lean is no command: {error}") from error
    if not words:
        raise RungError("--lean is no command: it is empty")
    return words


def tool_places(texts: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=MODULE:FUNCTION``, each name once.

    Raises:
        RungError: One is something else.
    """
    places: dict[str, str] = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not (name and equals and place) or name in places:
            raise RungError(f"--tool is {text!r}, expected NAME=MODULE:FUNCTION, each name once")
        places[name] = place
    return places


def _tools(options: CheckerOptions, limits: dict[str, float], progress: Progress) -> ToolVerifier:
    places = tool_places(options.tool)
    schema = None if options.tool_schema is None else read_tool_schema(options.tool_schema)
    sandbox = _sandbox(options, progress, is_needed=not places and schema is None)
    return ToolVerifier(places, sandbox=sandbox, schema=schema, workers=options.workers, **limits)


def _sandbox(options: CheckerOptions, progress: Progress, *, is_needed: bool) -> Sandbox | None:
    """Where calls of Python run; they are left out, and that is said, where there is none."""
    try:
        return find_sandbox(unsafe_local=options.unsafe_local)
    except RungError as error:
        if is_needed:
            raise
        progress.log(f"calls of Python are not replayed: {error}")
        return None


def _text(path: Path) -> str:
    try:
        with local_copy(path) as here:
            return here.read_text("utf-8", "replace")
    except OSError as error:
        raise InputError(f"no tool schemas: {error}", file=name_of(path)) from error
