"""Which tools a step calls, and with what: the common ways of writing it down.

- A JSON object in the text (in a fence, in ``<tool_call>`` tags, or bare) with a name under
  "name", "tool" or "action" and arguments under "arguments", "args", "parameters", "input" or
  "action_input". Hermes and Qwen, Anthropic's `tool_use`, and ReAct agents write so.
- OpenAI's ``{"tool_calls": [{"function": {"name": ..., "arguments": "{...}"}}]}``, where the
  arguments are JSON inside JSON.
- A fenced block of Python (```` ```python ````), which calls the tool "python" with its "code".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

PYTHON = "python"
MAX_OBJECTS = 200
"""So many places of a text are tried for a JSON object."""
_NAMES = ("name", "tool", "action")
_ARGUMENTS = ("arguments", "args", "parameters", "input", "action_input")
_START = re.compile(r"[{\[]")
_FENCE = re.compile(r"\s*```\s*(\w*)\s*")
_IS_PYTHON = ("python", "python3", "py")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool and what it is given."""

    name: str
    arguments: Any
    """As decoded from JSON; text where arguments that were to be JSON are none."""


def calls_in(text: str) -> tuple[ToolCall, ...]:
    """The calls that a step's text makes, in order; none when it makes none."""
    found = tuple(_json_calls(text))
    return found or tuple(ToolCall(PYTHON, {"code": code}) for code in _python_blocks(text))


def _python_blocks(text: str) -> Iterator[str]:
    """The fenced blocks that are marked as Python and closed."""
    lines: list[str] | None = None
    for line in text.splitlines():
        fence = _FENCE.fullmatch(line)
        if lines is not None and fence and not fence[1]:
            yield "".join(lines)
            lines = None
        elif lines is not None:
            lines.append(f"{line}\n")
        elif fence and fence[1].lower() in _IS_PYTHON:
            lines = []


def _json_calls(text: str) -> Iterator[ToolCall]:
    decoder, place = json.JSONDecoder(), 0
    for _ in range(MAX_OBJECTS):
        start = _START.search(text, place)
        if start is None:
            return
        place = start.end()
        try:
            value, end = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        calls = _calls_of(value)
        if calls:
            yield from calls
            place = end


def _calls_of(value: Any) -> list[ToolCall]:
    """The calls that a JSON value is; none when it is something else."""
    if isinstance(value, list):
        parts = [_calls_of(part) for part in cast("list[Any]", value)]
        return [call for calls in parts for call in calls] if all(parts) else []
    if not isinstance(value, dict):
        return []
    fields = cast("dict[str, Any]", value)
    if isinstance(fields.get("tool_calls"), list):
        return _calls_of(fields["tool_calls"])
    if isinstance(fields.get("function"), dict):
        return _calls_of(fields["function"])
    name = next((fields[key] for key in _NAMES if isinstance(fields.get(key), str)), None)
    key = next((key for key in _ARGUMENTS if key in fields), None)
    return [] if name is None or key is None else [ToolCall(name, _decoded(fields[key]))]


def _decoded(arguments: Any) -> Any:
    """Arguments that may be JSON inside JSON."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
