"""Tools for the call itself: hang up, note the outcome, press keys."""

from __future__ import annotations

from typing import Any

import pytest

from voiceframe.app import Bot
from voiceframe.call import Call
from voiceframe.frames import OutputDTMFFrame, UserTurnFrame
from voiceframe.llm import TextDelta
from voiceframe.pipeline import Pipeline
from voiceframe.processors.agents import Agent
from voiceframe.testing import ScriptedLLM, call_tool, dial
from voiceframe.testing.run import rig
from voiceframe.tools import end_task, hang_up, send_dtmf


def bot_with(agent: Agent) -> Bot:
    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), agent, call.transport.output()])

    return bot


@pytest.mark.parametrize(
    ("parts", "heard"),
    [
        (call_tool("hang_up", goodbye="Have a nice day!"), "Have a nice day! "),
        ([TextDelta("Bye then."), *call_tool("hang_up")], "Bye then. "),
        (call_tool("hang_up"), "Goodbye. "),
        ([TextDelta("Bye."), *call_tool("hang_up", goodbye="See you.")], "Bye. See you. "),
    ],
)
async def test_it_hangs_up_when_the_goodbye_was_heard(parts: Any, heard: str) -> None:
    llm = ScriptedLLM([parts])
    async with dial(bot_with(Agent("desk", llm=llm, tools=[hang_up]))) as caller:
        await caller.says("That is all")
        assert await caller.hears_the_end() == "completed"
    assert caller.record.heard == [heard]
    assert caller.record.outcomes == {1: "answered"}
    assert len(llm.requests) == 1  # nothing is left to say


async def test_a_goodbye_that_is_interrupted_ends_nothing() -> None:
    llm = ScriptedLLM([call_tool("hang_up", goodbye="Thank you very much for your call, goodbye!"), "Of course."])
    async with dial(bot_with(Agent("desk", llm=llm, tools=[hang_up]))) as caller:
        await caller.says("That is all")
        await caller.interrupts("Wait, one more thing", after_ms=800)
        await caller.hears("of course")
    assert caller.record.of("call.end-lapsed")


async def test_a_task_ends_with_its_outcome() -> None:
    parts = call_tool("end_task", outcome="completed", summary="Booked for Monday.", goodbye="See you!")
    async with dial(bot_with(Agent("desk", llm=ScriptedLLM([parts]), tools=[end_task]))) as caller:
        await caller.says("That is all")
        await caller.hears_the_end()
        data = caller.call.data
    assert data == {"outcome": "completed", "summary": "Booked for Monday."}


async def test_keys_are_pressed() -> None:
    llm = ScriptedLLM([call_tool("send_dtmf", digits="1 2#"), call_tool("send_dtmf", digits="one"), "Done."])
    async with rig(Agent("desk", llm=llm, tools=[send_dtmf])) as running:
        running.push(UserTurnFrame(1, "Go on"))
        await running.ends()
        keys = [frame.digits for frame in running.result.down if isinstance(frame, OutputDTMFFrame)]
    assert keys == ["12#"]
    assert "not keys of a telephone" in llm.requests[2].messages[-1].text
