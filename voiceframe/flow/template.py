"""Prompts with variables: `{day}`, `{booked.day}`. Names and fields only: nothing in a prompt is ever run."""

from __future__ import annotations

import dataclasses
import re
import string
from collections.abc import Callable, Mapping
from datetime import date, time
from typing import Any, Final

from .slots import Date, Slot, Time
from .words import spell, spoken_list

__all__ = ["render", "say_value", "variables"]

_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*(\.[a-zA-Z][a-zA-Z0-9_]*)?")
_DATE: Final = Date("date")
_TIME: Final = Time("time")


def variables(text: str) -> list[str]:
    """The variables of a text. Raises `ValueError` for one that is none."""
    found = []
    for _, name, spec, conversion in string.Formatter().parse(text):
        if name is None:
            continue
        if spec or conversion or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a slot or of a field of a result")
        found.append(name)
    return found


def render(text: str, values: Mapping[str, Any], slots: Mapping[str, Slot[Any]]) -> str:
    """The text with its variables said; one that has no value says nothing."""
    if "{" not in text and "}" not in text:
        return text
    parts = []
    for literal, name, _, _ in string.Formatter().parse(text):
        parts.append(literal)
        if name:
            first, _, field = name.partition(".")
            value = values.get(first)
            if field:
                known = dataclasses.is_dataclass(value) and field in {f.name for f in dataclasses.fields(value)}
                parts.append(say_value(getattr(value, field)) if known else "")
            else:
                parts.append(say_value(value, slots.get(first)))
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
