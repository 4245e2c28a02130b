"""What callers of a walk say, and what calls and tools they meet: made up, so that branches hold and fail to."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Final

from ..tools import Tool
from .branch import When, like
from .results import members
from .slots import Choice, Context, Date, Digits, Number, Slot, Text, Time, YesNo
from .template import about_call

__all__ = ["WORKDAY", "as_slot", "call_for", "liked", "results_of", "some"]

WORKDAY: Final = datetime(2026, 1, 7, 11, 0, tzinfo=timezone.utc)  # noqa: UP017  # a Wednesday, at any working hour


@dataclass
class _Call:
    """What a dialog sees of a call, in place of one."""

    id: str = "walk"
    from_: str = ""
    to: str = ""
    direction: str = "inbound"
    metadata: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


def call_for(wanted: Mapping[str, list[Any]], rng: random.Random) -> Any:
    """A call of which some branches hold."""
    call = _Call()
    for name, likes in wanted.items():
        if not about_call(name) or not likes or rng.random() < 0.3:
            continue
        value = rng.choice(likes)
        if name.startswith("call.metadata."):
            place, path = call.metadata, name.split(".")[2:]
            for key in path[:-1]:
                place = place.setdefault(key, {})
            place[path[-1]] = value
        elif name == "call.direction":
            call.direction = str(value)
        elif name in ("call.from", "call.to"):
            setattr(call, {"call.from": "from_", "call.to": "to"}[name], str(value))
    return call


def liked(case: When) -> list[Any]:
    """Values with which a case may hold, and some with which it does not."""
    likes = [] if case.equals is ... else [case.equals]
    likes += case.one_of or ()
    for bound in (case.at_least, case.at_most):
        if bound is not None:
            likes.append(bound)
    if case.known:
        likes.append("something")
    if isinstance(case.at_least, int) and not isinstance(case.at_least, bool):
        likes.append(case.at_least - 1)
    if isinstance(case.at_most, int) and not isinstance(case.at_most, bool):
        likes.append(case.at_most + 1)
    return likes


def as_slot(slot: Slot[Any], value: Any) -> Any:
    sample: Any = {date: date(2026, 1, 1), time: time(9), int: 0}.get(slot.type)
    try:
        found = like(sample, value) if sample is not None else value
    except ValueError:
        return None
    if isinstance(slot, Choice):
        return next((one for one in slot.fixed_options or () if one.casefold() == str(value).casefold()), None)
    return found if isinstance(found, slot.type) else None


def some(slot: Slot[Any], rng: random.Random, context: Context) -> Any:
    """Any value of the slot."""
    if isinstance(slot, Choice):
        options = slot.fixed_options
        return rng.choice(options) if options else None
    if isinstance(slot, YesNo):
        return rng.random() < 0.5
    if isinstance(slot, Number):
        return rng.randint(slot.low, slot.high)
    if isinstance(slot, Digits):
        return "".join(rng.choice("0123456789") for _ in range(rng.randint(slot.shortest, slot.length)))
    if isinstance(slot, Date):
        return context.now.date() + timedelta(days=rng.randint(slot.earliest_days, slot.latest_days))
    if isinstance(slot, Time):
        first = slot.earliest.hour * 60 + slot.earliest.minute
        last = slot.latest.hour * 60 + slot.latest.minute
        steps = (last - first) // slot.step_minutes
        minutes = first + slot.step_minutes * rng.randint(0, max(0, steps))
        return time(minutes // 60, minutes % 60)
    if isinstance(slot, Text):
        return "the light in the hall is broken"
    return None


def results_of(tool: Tool[..., Any]) -> Iterator[Any]:
    """Results of a real tool, by its type."""
    for member in members(tool.returns):
        if isinstance(member, type) and dataclasses.is_dataclass(member):
            made = object.__new__(member)
            for one in dataclasses.fields(member):
                object.__setattr__(made, one.name, _field_value(one.type))
            yield made
        elif member is bool:
            yield from (True, False)
        elif isinstance(member, type):
            yield _field_value(member.__name__)
        else:
            yield member


def _field_value(kind: Any) -> Any:
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", "str")
    return {"int": 7, "float": 7.0, "bool": True, "date": WORKDAY.date(), "time": time(10), "NoneType": None}.get(
        name, "something"
    )
