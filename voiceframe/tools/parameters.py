"""What a tool takes: its parameters by name and type, as a schema for models, and the arguments checked against them.

str, int, float, bool, date, time, datetime, `Literal`s, dataclasses, tuples of these, and each of them or None need
nothing but this file. Anything richer is the affair of pydantic (lists, dicts, enums, its models, `TypedDict`,
`Annotated[int, Field(ge=1)]`), and so is an object that is given for a dataclass.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import ToolError, VoiceframeError
from ..extras import optional

__all__ = ["Parameter", "bind", "hints_of", "known", "schema_of"]


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool: its name, its type, whether it must be given, and what the docstring says of it."""

    name: str
    type: Any
    required: bool
    description: str = ""


def bind(tool: str, parameters: Mapping[str, Parameter], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the function takes them: `"2026-12-03"` becomes a date where it takes one.

    Raises `ToolError`: for one thing that is wrong `tool.missing`, `tool.unknown-argument` or `tool.argument`, for
    several `tool.arguments`, which says all of them, so that a model can mend them at once.
    """
    problems: list[ToolError] = []
    bound: dict[str, Any] = {}
    for name in arguments:
        if name not in parameters:
            nearest = difflib.get_close_matches(name, parameters, n=1, cutoff=0.0)
            problems.append(
                ToolError.of("tool.unknown-argument", tool=tool, name=name, nearest=nearest[0] if nearest else "()")
            )
    for parameter in parameters.values():
        if parameter.name in arguments:
            value = arguments[parameter.name]
            try:
                bound[parameter.name] = _convert(value, parameter.type)
            except _Refused as refused:
                where = parameter.name + refused.path
                problems.append(
                    ToolError.of("tool.argument", tool=tool, name=where, value=value, expected=refused.expected)
                )
        elif parameter.required:
            problems.append(ToolError.of("tool.missing", tool=tool, name=parameter.name))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        told = [f"({number}) {_briefly(problem)}" for number, problem in enumerate(problems, 1)]
        raise ToolError.of("tool.arguments", tool=tool, problems="; ".join(told))
    return bound


def _briefly(problem: ToolError) -> str:
    text = problem.message.rstrip(".")
    return f"{text}: {problem.fix[0].lower()}{problem.fix[1:]}" if problem.code == "tool.unknown-argument" else text


def schema_of(parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The parameters as a JSON schema (draft 2020-12) of an object, as language models take it."""
    rich = [parameter for parameter in parameters.values() if not _plain(parameter.type)]
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    if rich:
        adapters = [(parameter.name, "validation", _adapter(parameter.type)) for parameter in rich]
        made, whole = _pydantic().TypeAdapter.json_schemas(adapters, ref_template="#/$defs/{model}")
        definitions = whole.get("$defs", {})
        properties = {name: dict(schema) for (name, _), schema in made.items()}
    found = {}
    for parameter in parameters.values():
        schema = properties.get(parameter.name) or _schema(parameter.type)
        if parameter.description:
            schema = {**schema, "description": parameter.description}
        found[parameter.name] = schema
    schema = {
        "type": "object",
        "properties": found,
        "required": [parameter.name for parameter in parameters.values() if parameter.required],
        "additionalProperties": False,
    }
    if definitions:
        schema["$defs"] = definitions
    return schema


def known(kind: Any) -> str:
    """Why this type cannot be taken; "" if it can. Raises `MissingExtra` for a rich one where pydantic is missing."""
    if _own(kind):
        return ""
    try:
        _adapter(kind)
    except VoiceframeError:
        raise
    except Exception as error:
        return str(error).splitlines()[0]
    return ""


# -- own types

_SCALARS: Final[dict[Any, dict[str, str]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    date: {"type": "string", "format": "date"},
    datetime: {"type": "string", "format": "date-time"},
    time: {"type": "string", "format": "time"},
    type(None): {"type": "null"},
}
_WORDS: Final[dict[Any, str]] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    date: "a date (2026-12-03)",
    datetime: "a date and time (2026-12-03T10:30)",
    time: "a time (10:30)",
    type(None): "None",
}


def _own(kind: Any) -> bool:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return all(_own(argument) for argument in arguments)
    if origin is tuple:
        return len(arguments) == 2 and arguments[1] is ... and _own(arguments[0])
    return kind in _SCALARS or origin is Literal or _is_dataclass(kind)


def _plain(kind: Any) -> bool:
    """Whether it is one of our own, without an object in it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType, tuple):
        return _own(kind) and all(_plain(argument) for argument in arguments if argument is not ...)
    return kind in _SCALARS or origin is Literal


def _is_dataclass(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind) and not hasattr(kind, "__pydantic_validator__")


def _schema(kind: Any) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(argument) for argument in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is Literal:
        kinds = {type(option) for option in arguments}
        return {**(_SCALARS.get(kinds.pop(), {}) if len(kinds) == 1 else {}), "enum": list(arguments)}
    return dict(_SCALARS[kind])


def _in_words(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(_in_words(argument) for argument in arguments)
    if origin is tuple:
        return f"a list, each {_in_words(arguments[0])}"
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    return _WORDS.get(kind, f"a {getattr(kind, '__name__', kind)}")


class _Refused(Exception):
    """A value that is not of the type. path: where in it."""

    def __init__(self, expected: str, path: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.path = path


def _convert(value: Any, kind: Any) -> Any:
    """The value as `kind`. Raises `_Refused` if it is none."""
    if _own(kind):
        try:
            return _as_own(value, kind)
        except ValueError:
            if _plain(kind) or not isinstance(value, Mapping | list | tuple):
                raise _Refused(_in_words(kind)) from None
    try:
        return _adapter(kind).validate_python(value)
    except _pydantic().ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise _Refused(f"valid: {first['msg'][:1].lower()}{first['msg'][1:]}{more}", path) from None


def _as_own(value: Any, kind: Any) -> Any:
    """The value as one of our own types. Raises `ValueError` if it is none."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        for argument in sorted(arguments, key=lambda option: option is str):  # a text fits anything: ask it last
            try:
                return _as_own(value, argument)
            except ValueError:
                continue
        raise ValueError
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError
        return tuple(_as_own(item, arguments[0]) for item in value)
    if origin is Literal:
        for option in arguments:
            if option == value and type(option) is type(value):
                return option
        raise ValueError
    if isinstance(value, str) and kind in (date, datetime, time):
        return kind.fromisoformat(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():  # JSON has one kind of number
        return int(value)
    exact = isinstance(value, kind)
    if (kind is int and isinstance(value, bool)) or (kind is date and isinstance(value, datetime)):
        exact = False
    if not exact:
        raise ValueError
    return value


# -- the rest


_adapters: Final[dict[int, tuple[Any, Any]]] = {}


def _pydantic() -> Any:
    return optional("pydantic", extra="agents", what="A tool that takes more than plain values")


def _adapter(kind: Any) -> Any:
    # By identity, and kept with its type: not every type can be hashed, and an id is only good while its object lives.
    found = _adapters.get(id(kind))
    if found is None:
        found = _adapters[id(kind)] = (kind, _pydantic().TypeAdapter(kind))
    return found[1]


def hints_of(fn: Any) -> dict[str, Any]:
    """The types of a function's parameters, `Annotated` ones with what they are annotated with."""
    return get_type_hints(fn, include_extras=True)
