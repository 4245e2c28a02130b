"""Prompts with variables: `{day}`, `{booked.day}`, `{{ call.metadata.name | default("there") }}`.

Names and fields only: nothing in a prompt is ever run, and what is filled in is never read as a prompt.

day  book.free                        slots, variables, and results of tools with their fields
call.id  call.from  call.to  call.direction  call.metadata.<key>     the call

In the states of a flow single and double braces are the same; only in double ones a text may stand for what is not
known. Elsewhere, and around anything that is no name, double braces are a brace of the text.
"""

from __future__ import annotations

import dataclasses
import re
import string
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time
from typing import TYPE_CHECKING, Any, Final

from .slots import Date, Slot, Time
from .words import spell, spoken_list

if TYPE_CHECKING:
    from ..call import Call

__all__ = ["CALL_NAMES", "about_call", "look_up", "render", "say_value", "variables"]

#: What prompts may say of the call, besides `call.metadata.<key>`.
CALL_NAMES: Final = ("call.id", "call.from", "call.to", "call.direction")
_METADATA: Final = "call.metadata."
_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*(\.[a-zA-Z][a-zA-Z0-9_]*)?")
_PATH: Final = r"[a-zA-Z][a-zA-Z0-9_]*(?:\.[a-zA-Z][a-zA-Z0-9_-]*)*"
_DOUBLE: Final = re.compile(r"\{\{\s*(" + _PATH + r")\s*(?:\|\s*default\(\s*\"([^\"{}]*)\"\s*\)\s*)?\}\}")
_BRACES: Final = re.compile(r"\{\{[^{}]*\}\}")
_DATE: Final = Date("date")
_TIME: Final = Time("time")


def variables(text: str, *, optional: bool = False) -> list[str]:
    """The variables of a state's text that must be known, or those that need not be. Raises `ValueError` for what is
    none."""
    found = []
    for braces in _BRACES.findall(text):
        if not _DOUBLE.fullmatch(braces):
            raise ValueError(f"{braces!r} is neither a name nor a name with a default")
    for _, name, default in _parts(text, double=True):
        if name is None:
            continue
        if not _NAME.fullmatch(name) and not about_call(name):
            raise ValueError(f"{name!r} is not the name of a slot or of a field of a result")
        if (default is not None) is optional:
            found.append(name)
    return found


def about_call(name: str) -> bool:
    """Whether it is a fact of the call, which is known in every state."""
    return name in CALL_NAMES or (name.startswith(_METADATA) and re.fullmatch(_PATH, name) is not None)


def _parts(text: str, *, double: bool) -> Iterator[tuple[str, str | None, str | None]]:
    """The text between variables, the variable behind it, and what is said where that is not known."""
    end = 0
    for match in _DOUBLE.finditer(text) if double else ():
        yield from _single(text[end : match.start()])
        yield "", match[1], match[2]
        end = match.end()
    yield from _single(text[end:])


def _single(text: str) -> Iterator[tuple[str, str | None, None]]:
    for literal, name, spec, conversion in string.Formatter().parse(text):
        if spec or conversion:
            raise ValueError(f"{name!r} is not the name of a slot or of a field of a result")
        yield literal, name, None


def look_up(name: str, values: Mapping[str, Any], call: Call | None = None) -> Any:
    """The value of a variable, None if it has none."""
    if about_call(name):
        if call is None:
            return None
        if name.startswith(_METADATA):
            value: Any = call.metadata
            for key in name.removeprefix(_METADATA).split("."):
                value = value.get(key) if isinstance(value, Mapping) else None
            return value
        return getattr(call, {"call.from": "from_"}.get(name, name.removeprefix("call."))) or None
    first, _, field = name.partition(".")
    value = values.get(first)
    if not field:
        return value
    if dataclasses.is_dataclass(value) and field in {f.name for f in dataclasses.fields(value)}:
        return getattr(value, field)
    return None


def render(
    text: str,
    values: Mapping[str, Any],
    slots: Mapping[str, Slot[Any]],
    call: Call | None = None,
    *,
    double: bool = False,
) -> str:
    """The text with its variables said; one that has no value says nothing. double: it is the text of a state."""
    if "{" not in text and "}" not in text:
        return text
    parts = []
    for literal, name, default in _parts(text, double=double):
        parts.append(literal)
        if name:
            parts.append(say_value(look_up(name, values, call), slots.get(name)) or default or "")
    return "".join(parts)


def say_value(value: Any, slot: Slot[Any] | None = None) -> str:
    """A value in words: as its slot says it, else by its type."""
    if value is None:
        return ""
    if slot is not None and isinstance(value, slot.type):
        return slot.say(value)
    says: Callable[[Any], str] = str
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, date):
        says = _DATE.say
    elif isinstance(value, time):
        says = _TIME.say
    elif isinstance(value, int) and abs(value) < 1_000_000:
        says = spell
    elif isinstance(value, list | tuple):
        return spoken_list([say_value(item) for item in value])
    return says(value)
