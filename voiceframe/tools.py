"""Tools: typed functions that a dialog or an agent calls.

    @tool(timeout_ms=5_000)
    async def book(ctx: ToolContext, day: date, time: time, doctor: str) -> Booked | Taken:
        \"\"\"Book an appointment.\"\"\"

The parameters come from the type hints: str, int, float, bool, date, time, `Literal`s, dataclasses, tuples of these,
and each of them or None. Arguments are checked and converted before the function runs, it has a bound in time, and
whatever goes wrong is a `ToolError`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import inspect
import math
import types
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import ToolError
from .frames import ToolCallFrame, ToolResultFrame

if TYPE_CHECKING:
    from .call import Call
    from .processor import Processor

__all__ = ["Parameter", "Tool", "ToolContext", "ToolResult", "call_tool", "plain", "tool"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool knows of where it was called: the call, and the id of this very call of the tool.

    `call_id` is the same when a call is tried again: a booking keeps it, so that it is made once.
    """

    call: Call
    call_id: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool: its name, its type, and whether it must be given."""

    name: str
    type: Any
    required: bool


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a call of a tool: its value, or the error."""

    value: Any = None
    error: ToolError | None = None


class Tool(Generic[P, R]):
    """A function as a tool. Made by `@tool`; called directly it is the function itself."""

    def __init__(self, fn: Callable[P, Awaitable[R]], *, timeout_ms: int, side_effects: bool) -> None:
        self.fn = fn
        self.name: str = getattr(fn, "__name__", repr(fn))
        self.description = inspect.getdoc(fn) or ""
        #: How long it may take.
        self.timeout_ms = timeout_ms
        #: Whether it changes something outside of the call: then it is finished whatever the caller does meanwhile.
        self.side_effects = side_effects
        if not inspect.iscoroutinefunction(fn):
            raise ToolError.of("tool.signature", tool=self.name, error="it is not an `async def`")
        try:
            hints = get_type_hints(fn)
        except NameError as error:
            raise ToolError.of("tool.signature", tool=self.name, error=error) from None
        self.returns: Any = hints.get("return", Any)
        self.context_name = ""
        self.parameters: dict[str, Parameter] = {}
        for name, parameter in inspect.signature(fn).parameters.items():
            if hints.get(name) is ToolContext:
                self.context_name = name
                continue
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise ToolError.of("tool.signature", tool=self.name, error=f"{name!r} cannot be given by name")
            if name not in hints or not _known(hints[name]):
                what = f"the type of {name!r} is " + ("missing" if name not in hints else f"{hints[name]}")
                raise ToolError.of("tool.signature", tool=self.name, error=what)
            self.parameters[name] = Parameter(name, hints[name], parameter.default is parameter.empty)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        return self.fn(*args, **kwargs)

    def schema(self) -> dict[str, Any]:
        """The parameters as a JSON schema (draft 2020-12), as language models take it."""
        return {
            "type": "object",
            "properties": {p.name: _schema(p.type) for p in self.parameters.values()},
            "required": [p.name for p in self.parameters.values() if p.required],
            "additionalProperties": False,
        }

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the function takes them: `"2026-12-03"` becomes a date where it takes one.

        Raises `ToolError` for one that is missing, unknown or of another type.
        """
        for name in arguments:
            if name not in self.parameters:
                nearest = difflib.get_close_matches(name, self.parameters, n=1, cutoff=0.0)
                raise ToolError.of(
                    "tool.unknown-argument", tool=self.name, name=name, nearest=nearest[0] if nearest else "nothing"
                )
        bound = {}
        for parameter in self.parameters.values():
            if parameter.name in arguments:
                value = arguments[parameter.name]
                try:
                    bound[parameter.name] = _convert(value, parameter.type)
                except ValueError:
                    raise ToolError.of(
                        "tool.argument",
                        tool=self.name,
                        name=parameter.name,
                        value=value,
                        expected=_in_words(parameter.type),
                    ) from None
            elif parameter.required:
                raise ToolError.of("tool.missing", tool=self.name, name=parameter.name)
        return bound

    async def run(self, context: ToolContext, arguments: Mapping[str, Any]) -> R:
        """Call it. Raises `ToolError` for wrong arguments, after `timeout_ms`, and for whatever the function raises."""
        bound = self.bind(arguments)
        if self.context_name:
            bound[self.context_name] = context
        limit = asyncio.timeout(self.timeout_ms / 1000)
        try:
            async with limit:
                return await self.fn(**bound)  # type: ignore[call-arg]
        except ToolError:
            raise
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                raise ToolError.of("tool.timeout", tool=self.name, timeout_ms=self.timeout_ms) from error
            raise ToolError.of("tool.failed", tool=self.name, error=repr(error)) from error

    def __repr__(self) -> str:
        return f"<tool {self.name}>"


def tool(*, timeout_ms: int = 10_000, side_effects: bool = True) -> Callable[[Callable[P, Awaitable[R]]], Tool[P, R]]:
    """Declare an `async def` as a tool. Raises `ToolError` (`tool.signature`) if it cannot be one.

    timeout_ms: how long a call of it may take.
    side_effects: whether it changes something outside of the call. One that does is finished, once it has begun, also
        when the caller interrupts or hangs up; one that only looks something up is cancelled when nobody waits for it.
    """

    def declare(fn: Callable[P, Awaitable[R]]) -> Tool[P, R]:
        return Tool(fn, timeout_ms=timeout_ms, side_effects=side_effects)

    return declare


async def call_tool(
    processor: Processor, tool: Tool[..., Any], arguments: Mapping[str, Any], call_id: str
) -> ToolResult:
    """Call a tool in the name of a processor, so that the call's log has it: `tool.called`, `tool.returned`.

    Run it with `processor.spawn(...)`. What the tool raises is in the result; a cancellation passes.
    """
    processor.push(ToolCallFrame(call_id, tool.name, {name: plain(value) for name, value in arguments.items()}))
    try:
        value = await tool.run(ToolContext(processor.call, call_id), arguments)
    except ToolError as error:
        processor.push(ToolResultFrame(call_id, error=str(error)))
        return ToolResult(error=error)
    except asyncio.CancelledError:
        processor.push(ToolResultFrame(call_id, error="cancelled"))
        raise
    processor.push(ToolResultFrame(call_id, plain(value)))
    return ToolResult(value)


def plain(value: Any) -> Any:
    """A value as JSON has it: dates and times in ISO 8601, dataclasses as objects, anything unknown as its `repr`."""
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return repr(value)


# -- types

_SCALARS: dict[Any, dict[str, str]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    date: {"type": "string", "format": "date"},
    datetime: {"type": "string", "format": "date-time"},
    time: {"type": "string", "format": "time"},
    type(None): {"type": "null"},
}
_WORDS: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    date: "a date (2026-12-03)",
    datetime: "a date and time (2026-12-03T10:30)",
    time: "a time (10:30)",
    type(None): "None",
}


def _known(kind: Any) -> bool:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return all(_known(argument) for argument in arguments)
    if origin is tuple:
        return len(arguments) == 2 and arguments[1] is ... and _known(arguments[0])
    return kind in _SCALARS or origin is Literal or _is_dataclass(kind)


def _is_dataclass(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _schema(kind: Any) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(argument) for argument in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is Literal:
        return {"enum": list(arguments)}
    if _is_dataclass(kind):
        hints = get_type_hints(kind)
        return {"type": "object", "properties": {f.name: _schema(hints[f.name]) for f in dataclasses.fields(kind)}}
    return dict(_SCALARS.get(kind, {}))


def _in_words(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(_in_words(argument) for argument in arguments)
    if origin is tuple:
        return f"a list, each {_in_words(arguments[0])}"
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    return _WORDS.get(kind, f"a {getattr(kind, '__name__', kind)}")


def _convert(value: Any, kind: Any) -> Any:
    """The value as `kind`. Raises `ValueError` if it is none."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        for argument in sorted(arguments, key=lambda option: option is str):  # a text fits anything: ask it last
            try:
                return _convert(value, argument)
            except ValueError:
                continue
        raise ValueError
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError
        return tuple(_convert(item, arguments[0]) for item in value)
    if origin is Literal:
        for option in arguments:
            if option == value and type(option) is type(value):
                return option
        raise ValueError
    if isinstance(value, str) and kind in (date, datetime, time):
        return kind.fromisoformat(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    exact = isinstance(value, kind)
    if (kind is int and isinstance(value, bool)) or (kind is date and isinstance(value, datetime)):
        exact = False
    if not exact:
        raise ValueError
    return value
