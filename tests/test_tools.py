"""Tools: typed functions, their arguments, their time, their failures, and what the log has of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import Enum
from typing import Any, Literal

import jsonschema
import pytest

from voiceframe.errors import ToolError
from voiceframe.frames import ToolCallFrame, ToolResultFrame, UserTurnFrame
from voiceframe.processor import Processor, handles
from voiceframe.testing.run import rig
from voiceframe.tools import ToolContext, ToolResult, call_tool, plain, tool


@dataclass(frozen=True)
class Booked:
    number: int
    day: date


@tool(timeout_ms=5_000)
async def book(
    ctx: ToolContext, day: date, at: time, doctor: str, visit: Literal["first", "next"] = "next", people: int | None = 1
) -> Booked:
    """Book an appointment."""
    await asyncio.sleep(0.1)
    if doctor == "Dr No":
        raise LookupError("who?")
    if doctor == "Dr Slow":
        await asyncio.sleep(60)
    return Booked(people or 0, day)


DAY, AT = date(2026, 12, 3), time(10, 30)


def test_a_tool_knows_its_parameters() -> None:
    assert list(book.parameters) == ["day", "at", "doctor", "visit", "people"]
    assert book.description == "Book an appointment."
    assert (book.timeout_ms, book.side_effects, book.returns) == (5_000, True, Booked)
    schema = book.schema()
    assert schema["required"] == ["day", "at", "doctor"]
    assert schema["properties"]["visit"] == {"type": "string", "enum": ["first", "next"]}
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"day": "2026-12-03", "at": "10:30", "doctor": "Dr Lee", "people": None}, schema)


def test_arguments_are_converted() -> None:
    bound = book.bind({"day": "2026-12-03", "at": "10:30", "doctor": "Dr Lee", "people": None})
    assert bound == {"day": DAY, "at": AT, "doctor": "Dr Lee", "people": None}


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"day": "soon"}, "tool.argument", "a date (2026-12-03)"),
        ({"day": datetime(2026, 12, 3)}, "tool.argument", "a date"),  # noqa: DTZ001
        ({"doctor": 7}, "tool.argument", "a text"),
        ({"people": True}, "tool.argument", "a whole number or None"),
        ({"visit": "last"}, "tool.argument", "'first' or 'next'"),
        ({"docter": "Dr Lee"}, "tool.unknown-argument", "`doctor`"),
        ({"doctor": ...}, "tool.missing", "doctor"),
    ],
)
def test_arguments_that_do_not_fit_are_explained(changes: Mapping[str, Any], code: str, words: str) -> None:
    arguments = {"day": DAY, "at": AT, "doctor": "Dr Lee"} | dict(changes)
    with pytest.raises(ToolError) as caught:
        book.bind({name: value for name, value in arguments.items() if value is not ...})
    assert caught.value.code == code
    assert words in str(caught.value)


def test_what_cannot_be_a_tool_is_refused() -> None:
    def not_async(day: date) -> None: ...

    async def untyped(day) -> None: ...  # type: ignore[no-untyped-def]

    async def strange(day: Processor) -> None: ...

    async def many(*days: date) -> None: ...

    for function, words in (
        (not_async, "not an `async def`"),
        (untyped, "missing"),
        (strange, "Processor"),
        (many, "by name"),
    ):
        with pytest.raises(ToolError, match=r"tool\.signature") as caught:
            tool()(function)  # type: ignore[arg-type]
        assert words in str(caught.value)


class Kind(Enum):
    FIRST = "first"


def test_results_are_kept_as_json() -> None:
    assert plain(Booked(1, DAY)) == {"number": 1, "day": "2026-12-03"}
    assert plain([AT, Kind.FIRST, 1.5, None, {"a": (1, 2)}]) == ["10:30:00", "first", 1.5, None, {"a": [1, 2]}]
    assert plain(float("nan")) == "nan"
    assert plain(Booked) == repr(Booked)


class Desk(Processor):
    """Calls the tool for each turn: its text is the doctor."""

    def __init__(self) -> None:
        self.results: list[ToolResult] = []

    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> None:
        self.spawn(self.work(frame))

    async def work(self, frame: UserTurnFrame) -> None:
        arguments = {"day": DAY, "at": AT, "doctor": frame.text}
        self.results.append(await call_tool(self, book, arguments, f"desk-{frame.turn}"))


async def test_the_log_has_the_call_and_the_result() -> None:
    desk = Desk()
    async with rig(desk) as running:
        running.push(UserTurnFrame(1, "Dr Lee"), UserTurnFrame(2, "Dr No"), UserTurnFrame(3, "Dr Slow"))
        await asyncio.sleep(6)
        called = [frame for frame in running.result.down if isinstance(frame, ToolCallFrame)]
        returned = {f.call_id: f for f in running.result.down if isinstance(f, ToolResultFrame)}
    assert called[0].arguments == {"day": "2026-12-03", "at": "10:30:00", "doctor": "Dr Lee"}
    assert returned["desk-1"].result == {"number": 1, "day": "2026-12-03"}
    assert "LookupError('who?')" in str(returned["desk-2"].error)
    assert "did not answer within 5000 ms" in str(returned["desk-3"].error)
    assert [result.value for result in desk.results] == [Booked(1, DAY), None, None]
    assert [result.error and result.error.code for result in desk.results] == [None, "tool.failed", "tool.timeout"]


async def test_a_tool_is_still_a_function() -> None:
    async with rig(Desk()) as running:
        assert await book(ToolContext(running.call, "x"), DAY, AT, "Dr Lee") == Booked(1, DAY)


async def test_a_timeout_of_the_tool_itself_is_its_own_failure() -> None:
    @tool()
    async def impatient() -> None:
        raise TimeoutError

    async with rig(Desk()) as running:
        with pytest.raises(ToolError, match=r"tool\.failed"):
            await impatient.run(ToolContext(running.call, "x"), {})
