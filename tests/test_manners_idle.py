"""A caller who says nothing is asked with other words each time, and never while somebody is busy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from voiceframe import Agent, Call, Pipeline, Processor, handles
from voiceframe.errors import MannersError
from voiceframe.frames import UpdateSettingsFrame, UserTurnFrame
from voiceframe.processors import EnergyVAD, IdleSettings, Manners, Turns, TurnSettings
from voiceframe.testing import ScriptedLLM, ScriptedSTT, ToneTTS, call_tool, dial
from voiceframe.testing.run import rig
from voiceframe.tones import tone
from voiceframe.tools import tool

SETTINGS = IdleSettings(
    after_ms=5_000, prompts=("Hello?", "Say something, please."), goodbye="Goodbye.", reason="silent"
)


def bot(agent: Callable[[], Processor], *, settings: IdleSettings = SETTINGS, stt: dict[int, str] | None = None):  # type: ignore[no-untyped-def]
    def make(call: Call) -> Pipeline:
        hearing = Manners(idle=settings).around(EnergyVAD(), ScriptedSTT(stt or {}), Turns())
        return Pipeline([call.transport.input(), *hearing, agent(), ToneTTS(), call.transport.output()])

    return make


class Mute(Processor):
    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> None:
        self.call.say("Yes.")


async def test_a_silent_caller_is_asked_and_asked_otherwise_and_let_go() -> None:
    async with dial(bot(Mute), via="audio") as caller:
        assert await caller.hears_the_end(within_ms=30_000) == "silent"
    assert caller.record.heard == ["Hello?", "Say something, please.", "Goodbye."]
    starts = [start for start, _ in caller.bot_spoke]
    ends = [end for _, end in caller.bot_spoke]
    assert starts[0] == pytest.approx(5_000, abs=60)
    assert starts[1] - ends[0] == pytest.approx(5_000, abs=60)
    assert starts[2] - ends[1] == pytest.approx(5_000, abs=60)
    assert [event.data["count"] for event in caller.record.of("speech.idle")] == [1, 2, 3]


async def test_somebody_who_answers_begins_anew() -> None:
    async with dial(bot(Mute, stt={7_000: "I am here"}), via="audio", voice=lambda text: tone(700, 800, -15)) as caller:
        await caller.hears("hello", within_ms=6_000)
        await caller.waits(400)
        caller.interrupts_now("I am here")
        await caller.hears("yes", within_ms=4_000)
        await caller.hears("hello", within_ms=9_000)
        assert await caller.hears_the_end(within_ms=30_000) == "silent"
    assert caller.record.heard == ["Hello?", "Yes.", "Hello?", "Say something, please.", "Goodbye."]


async def test_no_prompts_means_a_goodbye_at_once() -> None:
    settings = IdleSettings(after_ms=3_000, prompts=(), goodbye="Goodbye.")
    async with dial(bot(Mute, settings=settings), via="audio") as caller:
        assert await caller.hears_the_end(within_ms=9_000) == "idle"
    assert caller.record.heard == ["Goodbye."]


async def test_nobody_is_asked_while_the_bot_speaks_or_is_hushed() -> None:
    class Talker(Processor):
        @handles(UpdateSettingsFrame)
        def on_settings(self, frame: UpdateSettingsFrame) -> None:
            self.call.say("A long story that goes on for a while. " * 4)

    async with dial(bot(Talker), via="audio") as caller:
        caller.call.send(UpdateSettingsFrame("Talker", {}))
        await caller.waits(9_000)
        assert not caller.record.of("speech.idle")
        caller.call.turns.hush("on hold")
        await caller.waits(20_000)
        assert not caller.record.of("speech.idle")
        caller.call.turns.hush(None)
        await caller.hears("hello", within_ms=6_000)


async def test_nobody_is_asked_while_a_tool_runs_whose_turn_was_interrupted() -> None:
    @tool(timeout_ms=40_000, side_effects=True, on_interrupt="finish")
    async def book() -> str:
        """Book it."""
        await asyncio.sleep(20)
        return "booked"

    model = ScriptedLLM([call_tool("book"), "All right."])
    agent = Agent("clinic", "", model, tools=[book])
    script = {2_000: "book it", 4_000: "wait a moment"}
    async with dial(bot(lambda: agent, stt=script), via="audio", voice=lambda text: tone(700, 600, -15)) as caller:
        await caller.waits(1_500)
        caller.interrupts_now("book it")
        await caller.waits(2_000)
        caller.interrupts_now("wait a moment")
        await caller.waits(14_000)
        called = caller.call.engine.nodes[-3].tasks
        assert called  # it runs
        assert "All right." in caller.record.heard
        assert not caller.record.of("speech.idle")
        await caller.hears("hello", within_ms=12_000)
        assert not caller.call.engine.nodes[-3].tasks


async def test_the_settings_of_turn_taking_are_replaced_and_may_change_in_the_call() -> None:
    turns = Turns(TurnSettings(idle_ms=60_000, idle_prompt="No."))
    async with rig(*Manners(idle=SETTINGS).around(turns)) as call:
        call.push(UpdateSettingsFrame("Turns", {"idle_ms": 1_000}))
        await asyncio.sleep(1.1)
        assert call.events("speech.idle")[0].at_ms == pytest.approx(1_000, abs=20)
    assert (turns.settings.idle_prompt, turns.settings.idle_reprompts) == ("", 3)


def test_without_turn_taking_there_is_nobody_who_counts() -> None:
    with pytest.raises(MannersError) as raised:
        Manners(idle=True).around(EnergyVAD())
    assert raised.value.code == "manners.no-turns"
