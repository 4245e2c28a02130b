"""Eager turns: an answer is asked for before the turn is certain, and spoken only if it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from voiceframe.frames import EagerTurnFrame, TextFrame, TurnResumedFrame, UserTurnFrame
from voiceframe.processors.agents import Agent, AgentSettings
from voiceframe.testing import ScriptedLLM, call_tool
from voiceframe.testing.run import rig
from voiceframe.tools import tool


async def test_a_committed_turn_takes_the_answer_that_was_asked_for() -> None:
    llm = ScriptedLLM(["On Thursday at ten."], delay_ms=500)
    async with rig(Agent("clinic", "It is {{ time }}.", llm)) as running:
        running.push(EagerTurnFrame("When can I come?"))
        await asyncio.sleep(0.4)
        assert not [frame for frame in running.result.down if isinstance(frame, TextFrame)]
        running.push(UserTurnFrame(1, "When can I come?"))
        await asyncio.sleep(0.2)
        texts = [frame.text for frame in running.result.down if isinstance(frame, TextFrame)]
    assert "".join(texts) == "On Thursday at ten."
    assert len(llm.requests) == 1
    assert llm.requests[0].messages[-1].text == "When can I come?"
    assert len(running.events("provider.usage")) == 1


async def test_a_turn_that_goes_on_drops_the_answer() -> None:
    llm = ScriptedLLM(["You may not.", "On Thursday."], delay_ms=500)
    agent = Agent("clinic", llm=llm)
    async with rig(agent) as running:
        running.push(EagerTurnFrame("Can I come"))
        await asyncio.sleep(0.6)
        running.push(TurnResumedFrame())
        await asyncio.sleep(0.1)
        running.push(UserTurnFrame(1, "Can I come on Thursday?"))
        await asyncio.sleep(1)
        texts = [frame.text for frame in running.result.down if isinstance(frame, TextFrame)]
    assert "".join(texts) == "On Thursday."
    assert [message.text for message in llm.requests[1].messages] == ["Can I come on Thursday?"]
    assert [message.text for message in agent.context] == ["Can I come on Thursday?"]


async def test_a_request_that_runs_is_cancelled_when_the_turn_goes_on() -> None:
    llm = ScriptedLLM(["You may not come because"], delay_ms=100, word_ms=100)
    async with rig(Agent("clinic", llm=llm)) as running:
        running.push(EagerTurnFrame("Can I come"))
        await asyncio.sleep(0.3)
        running.push(TurnResumedFrame())
        await asyncio.sleep(0.1)
        assert llm.cancelled == 1


async def test_another_text_is_asked_anew() -> None:
    llm = ScriptedLLM(["Monday.", "Thursday."], delay_ms=100)
    async with rig(Agent("clinic", llm=llm)) as running:
        running.push(EagerTurnFrame("Monday"))
        await asyncio.sleep(0.3)
        running.push(UserTurnFrame(1, "Monday or Thursday"))
        await asyncio.sleep(0.5)
        texts = [frame.text for frame in running.result.down if isinstance(frame, TextFrame)]
    assert texts == ["Thursday."]


async def test_no_tool_runs_before_the_turn_is_certain() -> None:
    booked: list[str] = []

    @tool()
    async def book(day: str) -> str:
        booked.append(day)
        return "booked"

    llm = ScriptedLLM([call_tool("book", day="Thursday"), "Done."])
    async with rig(Agent("clinic", llm=llm, tools=[book])) as running:
        running.push(EagerTurnFrame("Thursday"))
        await asyncio.sleep(1)
        assert booked == []
        running.push(UserTurnFrame(1, "Thursday"))
        await asyncio.sleep(1)
        assert booked == ["Thursday"]


async def test_a_failure_on_speculation_is_tried_again_for_the_turn() -> None:
    llm = ScriptedLLM([RuntimeError("out of reach"), "Thursday."])
    async with rig(Agent("clinic", llm=llm)) as running:
        running.push(EagerTurnFrame("When?"))
        await asyncio.sleep(0.1)
        running.push(UserTurnFrame(1, "When?"))
        await asyncio.sleep(0.1)
    assert running.result.texts[-1] == "Thursday."
    assert running.result.errors == []


async def test_speculation_can_be_switched_off_and_own_agents_are_not_asked() -> None:
    class Own(Agent):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            yield "Mine."

    for agent in (
        Agent("off", llm=ScriptedLLM(["Mine."]), settings=AgentSettings(eager=False)),
        Own("own", llm=ScriptedLLM([])),
    ):
        async with rig(agent) as running:
            running.push(EagerTurnFrame("When?"))
            await asyncio.sleep(0.1)
            llm: Any = agent.llm
            assert llm.requests == []
            running.push(UserTurnFrame(1, "When?"))
            await asyncio.sleep(0.1)
        assert running.result.texts[-1] == "Mine."
