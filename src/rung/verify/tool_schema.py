"""JSON schemas for what tools are given and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from rung.core import InputError, MissingExtraError, RungError
from rung.core.urls import local_copy, name_of
from rung.verify.tool_calls import ToolCall

ANY_TOOL = "*"
MAX_DETAIL_CHARS = 200


class _File(msgspec.Struct, forbid_unknown_fields=True):
    calls: dict[str, Any] = {}
    observations: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """Schemas by the tool's name; "*" is for every tool that has none of its own.

    A call's schema is for its arguments. An observation's is for the JSON that it is, or for the
    text where it is none.
    """

    calls: Mapping[str, Any]
    observations: Mapping[str, Any]

    def broken_by(self, call: ToolCall | None, observation: str | None) -> str | None:
        """What goes against a schema, in one clause; None when nothing does."""
        name = ANY_TOOL if call is None else call.name
        said = None if call is None else _broken(_of(self.calls, name), call.arguments)
        if said is not None:
            return f"the call: {said}"
        seen = None
        if observation is not None:
            seen = _broken(_of(self.observations, name), _value(observation))
        return None if seen is None else f"the observation: {seen}"

    def covers(self, call: ToolCall | None, observation: str | None) -> bool:
        """Whether there is a schema for the call or for what came back."""
        name = ANY_TOOL if call is None else call.name
        has_call = call is not None and _of(self.calls, name) is not None
        return has_call or (observation is not None and _of(self.observations, name) is not None)


def read_tool_schema(path: Path) -> ToolSchema:
    """Read ``{"calls": {TOOL: SCHEMA}, "observations": {TOOL: SCHEMA}}``.

    Raises:
        InputError: The file can't be read, or a schema in it is none.
        MissingExtraError: jsonschema is not installed.
    """
    try:
        with local_copy(path) as here:
            found = msgspec.json.decode(here.read_bytes(), type=_File)
    except (OSError, ValueError, msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"no tool schemas: {error}", file=name_of(path)) from error
    kinds: tuple[tuple[Literal["calls", "observations"], dict[str, Any]], ...]
    kinds = (("calls", found.calls), ("observations", found.observations))
    for kind, schemas in kinds:
        for name, schema in schemas.items():
            reason = _unfit(schema)
            if reason is not None:
                raise InputError(f"{kind}.{name} is no JSON schema: {reason}", file=name_of(path))
    return ToolSchema(found.calls, found.observations)


def _of(schemas: Mapping[str, Any], name: str) -> Any:
    return schemas.get(name, schemas.get(ANY_TOOL))


def _value(observation: str) -> Any:
    try:
        return msgspec.json.decode(observation)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return observation


def _broken(schema: Any, value: Any) -> str | None:
    if schema is None:
        return None
    jsonschema = _jsonschema()
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = jsonschema.validators.validator_for(schema)
    try:
        # an empty registry: a "$ref" must lead into the schema, nothing is fetched
        errors = kind(schema, registry=Registry()).iter_errors(value)
        first = jsonschema.exceptions.best_match(errors)
    except RecursionError:
        return "it is nested too deep"
    except Unresolvable as error:
        raise RungError(f"a tool's schema refers to what it does not hold: {error}") from error
    if first is None:
        return None
    return f"{first.message[:MAX_DETAIL_CHARS]} at {first.json_path}"


def _unfit(schema: Any) -> str | None:
    """Why a schema is none."""
    jsonschema = _jsonschema()
    if not isinstance(schema, dict | bool):
        return "expected an object or true or false"
    try:
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.exceptions.SchemaError as error:
        return str(error.message)[:MAX_DETAIL_CHARS]
    return None


def _jsonschema() -> Any:
    try:
        import jsonschema
    except ImportError as error:
        raise MissingExtraError("jsonschema", "verify") from error
    return jsonschema
