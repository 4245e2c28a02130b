"""The tools of a model that hears and speaks itself: run as an agent's, and their results always told."""

from __future__ import annotations

import asyncio

import pytest

from tests.realtime_model import Model, down, settle
from voiceframe.errors import ConfigurationError, ProviderError, ToolError
from voiceframe.frames import ReplyStartedFrame, TextFrame, ToolCallFrame, ToolResultFrame
from voiceframe.llm import Message, ToolCall
from voiceframe.processors.realtime.stream import (
    ResponseBegan,
    ResponseEnded,
    Spoken,
    SpokenText,
    ToolWanted,
    TurnTaken,
)
from voiceframe.testing.run import rig
from voiceframe.tools import AskText, ToolContext, hang_up, tool


def _wants(*calls: ToolCall, turn: str = "i1", response: str = "r1") -> list[TurnTaken | ResponseBegan | ToolWanted]:
    return [TurnTaken(turn), ResponseBegan(response, ""), *(ToolWanted(response, call) for call in calls)]


async def test_a_booking_that_the_model_asks_for_twice_is_made_once() -> None:
    made: list[str] = []

    @tool()
    async def book(ctx: ToolContext, day: str) -> str:
        """Book."""
        made.append(day)
        return "booked"

    model = Model(tools=[book])
    async with rig(model) as running:
        await settle()
        model.stream.tell(*_wants(*(ToolCall(f"c{n}", "book", {"day": "Monday"}) for n in range(2))))
        model.stream.tell(ResponseEnded("r1"))
        await settle()
        assert made == ["Monday"]
        first, second = sorted(model.stream.of("result"))
        assert first == ("c0", "booked")
        assert "tool.duplicate" in second[1]
        assert len(model.stream.of("respond")) == 1
        assert len(down(running, ToolCallFrame)) == 2


async def test_a_slow_tool_has_a_filler_and_one_that_only_looks_is_cancelled_by_the_next_turn() -> None:
    @tool(side_effects=False, say_after_ms=500, say="I am looking.")
    async def look(ctx: ToolContext) -> str:
        """Look."""
        await asyncio.sleep(5)
        return "found"

    model = Model(tools=[look])
    async with rig(model):
        await settle()
        model.stream.tell(*_wants(ToolCall("c1", "look", {})), ResponseEnded("r1"))
        await settle(700)
        assert [say for _, say in model.stream.of("respond")] == ["I am looking."]
        model.stream.tell(*_wants(turn="i2", response="r2"))
        await settle()
        ((id, text),) = model.stream.of("result")
        assert (id, "tool.cancelled" in text) == ("c1", True)
        await settle(5_000)
        assert len(model.stream.of("result")) == 1


async def test_an_operator_decides() -> None:
    @tool(confirm="operator")
    async def refund(ctx: ToolContext, euros: int) -> str:
        """Give money back."""
        return f"{euros} euros"

    model = Model(tools=[refund])
    async with rig(model):
        await settle()
        model.stream.tell(*_wants(ToolCall("c1", "refund", {"euros": 7}), ToolCall("c2", "refund", {"euros": 900})))
        model.stream.tell(ResponseEnded("r1"))
        await settle()
        assert [approval.call_id for approval in model.approvals] == ["c1", "c2"]
        assert model.approve("c1", by="operator:ann")
        assert model.decline("c2", by="operator:ann", reason="too much")
        assert not model.approve("c3", by="operator:ann")
        await settle()
        (_, first), (_, second) = sorted(model.stream.of("result"))
        assert first == "7 euros"
        assert "too much" in second


async def test_a_secret_is_in_no_event_also_if_the_tool_returns_it() -> None:
    @tool(secret=("pin",))
    async def check(ctx: ToolContext, pin: str) -> dict[str, str]:
        """Check."""
        return {"pin": pin}

    model = Model(tools=[check])
    async with rig(model) as running:
        await settle()
        model.stream.tell(*_wants(ToolCall("c1", "check", {"pin": "47111174"})), ResponseEnded("r1"))
        await settle()
        assert "47111174" in model.stream.of("result")[0][1]
        frames = [*down(running, ToolCallFrame), *down(running, ToolResultFrame)]
        assert len(frames) == 2
        assert "47111174" not in f"{frames} {running.result.events}"


async def test_nothing_is_said_behind_a_tool_that_ends_the_reply() -> None:
    model = Model(tools=[hang_up])
    async with rig(model) as running:
        await settle()
        model.stream.tell(TurnTaken("i1"), ResponseBegan("r1", ""), SpokenText("r1", "Bye."))
        model.stream.tell(Spoken("r1", "i2", bytes(800)), ToolWanted("r1", ToolCall("c1", "hang_up", {})))
        model.stream.tell(ResponseEnded("r1"))
        assert await running.call.wait_ended() == "completed"
        assert model.stream.of("result")
        assert not model.stream.of("respond")  # it has said goodbye itself
        assert [frame.text for frame in down(running, TextFrame)] == ["Bye."]


async def test_a_tool_survives_its_connection_and_is_not_called_again() -> None:
    made: list[str] = []

    @tool()
    async def book(ctx: ToolContext) -> str:
        """Book."""
        await asyncio.sleep(3)
        made.append(ctx.call_id)
        return "booked"

    model = Model(tools=[book])
    async with rig(model) as running:
        await settle()
        model.stream.tell(*_wants(ToolCall("c1", "book", {})))
        await settle()
        model.stream.tell(ConnectionResetError("gone"))
        await settle(1_000)
        assert len(model.streams) == 2
        assert not model.stream.of("respond")
        await settle(3_000)
        assert made == ["c1"]
        call = ToolCall("c1", "book", {})
        told = (Message("assistant", "", (call,)), Message("tool", "booked", call_id="c1"))
        assert model.stream.of("restore")[-1] == (told,)
        assert len(model.stream.of("respond")) == 1
        assert [frame.result for frame in down(running, ToolResultFrame)] == ["booked"]


async def test_what_returns_while_a_new_connection_is_told_what_was_is_told_too() -> None:
    @tool()
    async def book(ctx: ToolContext) -> str:
        """Book."""
        await asyncio.sleep(1)
        return "booked"

    model = Model(tools=[book])
    async with rig(model):
        await settle()
        model.stream.tell(*_wants(ToolCall("c1", "book", {})), ResponseEnded("r1"))
        await settle()
        model.may_restore.clear()
        model.stream.tell(ConnectionResetError("gone"))
        await settle(2_000)
        model.send("They are an old patient.")
        model.may_restore.set()
        await settle()
        assert [m.text for m in model.stream.of("restore")[-1][0]] == ["", "booked"]
        assert model.stream.of("text") == [("system", "They are an old patient.")]
        assert len(model.stream.of("respond")) == 1


async def test_a_tool_that_is_none_or_wants_the_caller_to_agree_is_refused() -> None:
    @tool(on_duplicate="confirm")
    async def book(ctx: ToolContext) -> str:
        """Book."""
        return ""

    @tool()
    async def ask(ctx: ToolContext) -> str:
        """Ask."""
        answer: str = await ctx.ask(AskText("Where to?", label="address"))
        return answer

    with pytest.raises(ProviderError, match="agreement") as caught:
        Model(tools=[book])
    assert caught.value.code == "provider.unsupported"
    with pytest.raises(ConfigurationError):
        Model(tools=["book"])
    with pytest.raises(ToolError):
        Model(tools=[ask, tool(name="ask")(ask.fn)])
    model = Model(tools=[ask])
    async with rig(model) as running:
        await settle()
        model.stream.tell(*_wants(ToolCall("c1", "ask", {})), ResponseEnded("r1"))
        await settle()
        assert "tool.no-floor" in model.stream.of("result")[0][1]
        assert not down(running, ReplyStartedFrame)
