"""The steps of agents as a verifier: calls of tools are replayed, or held against schemas."""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import msgspec

from rung.core import Chain, RungError, Step
from rung.verify.cells import Ran, run_cells
from rung.verify.findings import Finding, Findings
from rung.verify.same_output import is_same
from rung.verify.sandbox import Sandbox
from rung.verify.tool_calls import PYTHON, ToolCall, calls_in
from rung.verify.tool_schema import ToolSchema
from rung.verify.tool_worker import Call, Returned
from rung.verify.workers import Closing, WorkerPool

TIMEOUT_S = 5.0
"""Seconds for one call of a tool."""
PLACE = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")
MAX_SHOWN = 120
_Replies = Mapping[int, Ran | None]
"""What became of each step's Python, by the step's index."""


class ToolVerifier(Closing):
    """Checks the steps that call tools or carry an observation: a `StepChecker`.

    A step's call is read from its text (`rung.verify.tool_calls`) and judged so (label in
    brackets):

    - breaks-schema (0): the call's arguments, or what came back, go against a schema.
    - failed (0): run again, the tool raises. Whether or not the observation says so, the step has
      not got what it wanted; a later step may mend it.
    - differs (0): the tool gives something else than the observation.
    - replayed (1): the tool gives the observation.
    - fits-schema (1): there is nothing to replay, but a schema, and it is kept.
    - timeout, unavailable, unsendable (None): the tool did not come back, or lost its connection,
      or its arguments can't be handed over (nested a thousand deep).
    - no-call, several-calls, unknown-tool (None): there is nothing that could be replayed.

    A step is judged by itself: what it wants the tool for is not looked at. The outcome is left
    to others.

    Args:
        tools: By name, the place of a Python function: ``module:function``. It is called in a
            process of its own, with the call's arguments by name, and must depend on these alone.
        sandbox: Runs the calls of the tool "python": a chain's code, cell by cell in one
            namespace. None: they are not replayed (unless `tools` has a "python").
        schema: What calls and observations must look like.
        workers: Processes at once; by default one a core, at most 4.
        timeout_s: Seconds for one call; then its process is killed.

    Raises:
        RungError: A tool's place is none, or there is nothing to check with.
    """

    def __init__(
        self,
        tools: Mapping[str, str] | None = None,
        *,
        sandbox: Sandbox | None = None,
        schema: ToolSchema | None = None,
        workers: int | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._tools = dict(tools or {})
        for name, place in self._tools.items():
            if not PLACE.fullmatch(place):
                raise RungError(f"tool {name!r}: expected module:function, not {place!r}")
        if not self._tools and sandbox is None and schema is None:
            raise RungError("no way to check calls: give tools, a sandbox for Python, or a schema")
        self._sandbox, self._schema, self._timeout_s = sandbox, schema, timeout_s
        specs = [f"{name}={place}" for name, place in self._tools.items()]
        size = workers or min(4, os.cpu_count() or 1)
        self._pool = WorkerPool("rung.verify.tool_worker", size, timeout_s, specs)
        weakref.finalize(self, self._pool.close)

    def close(self) -> None:
        """End the processes; new ones start if it is used again."""
        self._pool.close()

    def can_check(self, chain: Chain) -> bool:
        """Whether a step calls a tool or carries an observation."""
        return any(step.observation is not None or calls_in(step.text) for step in chain.steps)

    def check(self, chains: Sequence[Chain]) -> list[Findings]:
        """One `Findings` a chain, in order.

        Raises:
            RungError: A tool can't be loaded, or the sandbox does not start.
        """
        if self._tools:
            self._ask(None)  # says at once, and before any step is judged, what can't be loaded
        with ThreadPoolExecutor(self._pool.size) as threads:
            return list(threads.map(self._check, chains))

    def act(self, chain: Chain) -> str | None:
        """Call what a chain's last step calls, and return what a policy would see.

        An error and a call without an end are told as text, for the policy to read. A step without
        one known call gives None. Python sees the names of the chain's earlier cells, which run
        again before it.

        Raises:
            RungError: A tool can't be loaded, or the sandbox does not start.
        """
        calls = [calls_in(step.text) for step in chain.steps]
        if not calls or len(calls[-1]) != 1:
            return None
        [call] = calls[-1]
        if call.name in self._tools:
            try:
                return _told(self._ask(Call(call.name, call.arguments)), self._timeout_s)
            except (RecursionError, ValueError, OverflowError) as error:
                return f"error: {error}"
        ran = self._run_python(calls)
        last = len(calls) - 1
        return _printed(ran[last], self._timeout_s) if last in ran else None

    def _check(self, chain: Chain) -> Findings:
        calls = [calls_in(step.text) for step in chain.steps]
        ran = self._run_python(calls)
        return Findings(
            tuple(
                self._step(step, found, ran.get(k))
                for k, (step, found) in enumerate(zip(chain.steps, calls, strict=True))
            )
        )

    def _run_python(self, calls: Sequence[tuple[ToolCall, ...]]) -> _Replies:
        cells = {
            k: code
            for k, found in enumerate(calls)
            if len(found) == 1 and (code := _code_of(found[0])) is not None
        }
        if self._sandbox is None or PYTHON in self._tools or not cells:
            return {}
        ran = run_cells(self._sandbox, list(cells.values()), self._timeout_s)
        return dict(zip(cells, ran, strict=True))

    def _step(self, step: Step, calls: tuple[ToolCall, ...], ran: Ran | None) -> Finding:
        schema, seen = self._schema, step.observation
        broken = None if schema is None else _first_broken(schema, calls, seen)
        if broken is not None:
            return Finding("breaks-schema", 0.0, broken)
        replayed = (
            self._replay(calls[0], seen, ran) if len(calls) == 1 and seen is not None else None
        )
        if replayed is not None:
            return replayed
        if schema is not None and any(schema.covers(call, seen) for call in calls or (None,)):
            return Finding("fits-schema", 1.0)
        if len(calls) != 1:
            return Finding("several-calls" if calls else "no-call", None)
        if seen is None:
            return Finding("no-observation", None)
        return Finding("unknown-tool", None, calls[0].name[:MAX_SHOWN])

    def _replay(self, call: ToolCall, seen: str, ran: Ran | None) -> Finding | None:
        """What running the call again says; None when it can't be run."""
        if call.name in self._tools:
            try:
                reply = self._ask(Call(call.name, call.arguments))
            except (RecursionError, ValueError, OverflowError) as error:
                return Finding("unsendable", None, str(error)[:MAX_SHOWN])
            return _judge_tool(reply, seen, self._timeout_s)
        if self._sandbox is not None and _code_of(call) is not None:
            return _judge_cell(ran, seen, self._timeout_s)
        return None

    def _ask(self, call: Call | None) -> Returned | None:
        reply = self._pool.ask(msgspec.json.encode(call))
        if reply is None:
            return None
        returned = msgspec.json.decode(reply, type=Returned)
        if returned.said == "unloadable":
            names = ", ".join(f"{name}={place}" for name, place in self._tools.items())
            raise RungError(f"a tool can't be loaded ({names}): {returned.detail}")
        return returned


def _code_of(call: ToolCall) -> str | None:
    """The code of a call to "python"."""
    if call.name != PYTHON:
        return None
    arguments = call.arguments
    if isinstance(arguments, dict):
        arguments = cast("dict[str, Any]", arguments).get("code")
    return arguments if isinstance(arguments, str) else None


def _first_broken(
    schema: ToolSchema, calls: tuple[ToolCall, ...], observation: str | None
) -> str | None:
    """What goes against a schema; what came back is one call's, not several calls'."""
    if not calls:
        return schema.broken_by(None, observation)
    seen = observation if len(calls) == 1 else None
    found = (schema.broken_by(call, seen) for call in calls)
    return next((broken for broken in found if broken is not None), None)


def _judge_tool(reply: Returned | None, seen: str, timeout_s: float) -> Finding:
    if reply is None:
        return Finding("timeout", None, f"the tool did not come back in {timeout_s:g} s")
    if reply.said == "unavailable":
        return Finding("unavailable", None, reply.detail)
    if reply.said == "raised":
        return Finding("failed", 0.0, reply.detail)
    return _compared(reply.value, seen)


def _judge_cell(ran: Ran | None, seen: str, timeout_s: float) -> Finding:
    if ran is None:
        return Finding("timeout", None, "the cell was not reached, or its process is gone")
    if ran.error == "timeout":
        return Finding("timeout", None, f"the cell did not end in {timeout_s:g} s")
    if ran.error is not None:
        return Finding("failed", 0.0, ran.error[:MAX_SHOWN])
    return _compared(ran.output, seen)


def _told(reply: Returned | None, timeout_s: float) -> str:
    """What a tool gave, as an observation."""
    if reply is None:
        return f"error: the tool did not come back in {timeout_s:g} s"
    if reply.said != "value":
        return f"error: {reply.detail}"
    return (
        reply.value if isinstance(reply.value, str) else msgspec.json.encode(reply.value).decode()
    )


def _printed(ran: Ran | None, timeout_s: float) -> str:
    """What a cell printed, as an observation."""
    if ran is None or ran.error == "timeout":
        return f"error: the code did not end in {timeout_s:g} s"
    return ran.output.rstrip("\n") if ran.error is None else f"{ran.output}error: {ran.error}"


def _compared(output: Any, seen: str) -> Finding:
    if is_same(output, seen):
        return Finding("replayed", 1.0)
    shown = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    return Finding("differs", 0.0, f"the tool gives {shown[:MAX_SHOWN]!r}")
