"""The auditor beside a model that hears and speaks itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.realtime_model import Model, Scripted, settle, sound
from voiceframe.call import Call
from voiceframe.dialling import LoopbackDialler
from voiceframe.frames import BotStartedSpeakingFrame, HeardFrame, UserTurnFrame
from voiceframe.llm import Message, ToolCall
from voiceframe.pipeline import Pipeline
from voiceframe.processors import Auditor
from voiceframe.processors.agents import Agent
from voiceframe.processors.realtime.stream import (
    CallerSaid,
    ResponseBegan,
    ResponseEnded,
    SpeechBegan,
    SpeechStopped,
    Spoken,
    SpokenText,
    TurnTaken,
)
from voiceframe.testing import ScriptedLLM, call_tool
from voiceframe.testing.run import Rig, rig
from voiceframe.transports.text import TextTransport

from voiceframe.app import App  # isort: skip


def auditing(*answers: Any) -> Agent:
    return Agent("checker", "Check the date.", ScriptedLLM(answers, repeat=True))


CORRECTS = call_tool("correction", message="The date is 12 May.")


def says(stream: Scripted, number: int, text: str) -> None:
    """The caller says something, as the vendor hears it."""
    item = f"i{number}"
    stream.tell(SpeechBegan(0), SpeechStopped(500), TurnTaken(item), CallerSaid(item, text, final=True))


async def answers(running: Rig, stream: Scripted, number: int, text: str, tag: str = "") -> None:
    """The model says something, and the caller hears all of it."""
    id = f"r{number}"
    stream.tell(ResponseBegan(id, tag), Spoken(id, f"a{number}", sound(500).data), SpokenText(id, text))
    stream.tell(ResponseEnded(id))
    await settle()
    reply = running.call.replies.last
    assert reply in running.call.replies.open
    running.up(BotStartedSpeakingFrame(reply), HeardFrame(reply, text, complete=True, final=True))
    await settle()


def notes(stream: Scripted) -> list[str]:
    """What the model was told beside the conversation."""
    found = []
    for (messages,) in stream.of("restore"):
        for call, result in zip(messages[::2], messages[1::2], strict=True):
            if call.tool_calls and call.tool_calls[0].name == "note":
                assert (call.role, result.role) == ("assistant", "tool")
                assert call.tool_calls[0].id == result.call_id
                found.append(result.text)
    return found


async def test_it_is_given_the_turns_and_what_was_heard() -> None:
    checker = auditing("OK")
    async with rig(Model(), observers=[Auditor(checker)]) as running:
        model = running.call.engine.nodes[1].proc
        assert isinstance(model, Model)
        await settle()
        says(model.stream, 1, "On the twelfth of May")
        await answers(running, model.stream, 1, "The second of May.")
        says(model.stream, 2, "Well?")
        await settle()
    assert isinstance(checker.llm, ScriptedLLM)
    last = checker.llm.requests[-1].messages
    told = [json.loads(line) for message in last for line in message.text.splitlines() if line.startswith("{")]
    assert told == [
        {"turn": 1, "caller": "On the twelfth of May"},
        {"agent": "The second of May."},
        {"turn": 2, "caller": "Well?"},
    ]


async def test_it_waits_for_the_words_of_a_turn_that_was_committed_without_them() -> None:
    checker = auditing("OK")
    model = Model()
    async with rig(model, observers=[Auditor(checker)]) as running:
        await settle()
        model.stream.tell(SpeechBegan(0), SpeechStopped(500), TurnTaken("i1"))
        await answers(running, model.stream, 1, "Yes.")  # which commits the turn, before its words are known
        await settle(1_000)
        assert isinstance(checker.llm, ScriptedLLM)
        assert checker.llm.requests == []
        model.stream.tell(CallerSaid("i1", "On the twelfth of May", final=True))
        await settle()
    assert len(checker.llm.requests) == 1
    assert '"caller": "On the twelfth of May"' in checker.llm.requests[0].messages[-1].text


async def test_words_that_come_too_late_are_looked_at_again() -> None:
    checker = auditing("OK")
    model = Model()
    async with rig(model, observers=[Auditor(checker)]) as running:
        await settle()
        model.stream.tell(SpeechBegan(0), SpeechStopped(500), TurnTaken("i1"))
        await answers(running, model.stream, 1, "Yes.")
        await settle(2_500)
        assert isinstance(checker.llm, ScriptedLLM)
        assert "(not understood)" in checker.llm.requests[0].messages[-1].text
        model.stream.tell(CallerSaid("i1", "On the twelfth of May", final=True))
        await settle()
    assert "On the twelfth of May" in checker.llm.requests[-1].messages[-1].text
    assert '"known_late": true' in checker.llm.requests[-1].messages[-1].text


async def test_a_correction_is_there_before_the_model_answers_the_next_turn_and_is_data() -> None:
    model = Model()
    async with rig(model, observers=[Auditor(auditing(CORRECTS))]) as running:
        await settle()
        says(model.stream, 1, "On the twelfth of May")
        await answers(running, model.stream, 1, "The second of May.")
        await settle(3_000)
        assert notes(model.stream) == []  # it waits
        model.stream.tell(SpeechBegan(4_000))  # from here on the vendor may answer at any time
        await settle()
        (note,) = notes(model.stream)
        assert '<note from="Auditor">' in note
        assert "12 May" in note
        assert not [text for text in model.stream.of("text") if "12 May" in str(text)]
        # Another connection is told of it as well, with the conversation.
        assert any("12 May" in message.text and message.role == "tool" for message in model.record.messages())
        assert [event.data["how"] for event in running.events("auditor.delivered")] == ["turn"]


async def test_a_correction_is_spoken_now_when_nobody_speaks() -> None:
    model = Model()
    async with rig(model, observers=[Auditor(auditing(CORRECTS, "OK"), deliver="now")]) as running:
        await settle()
        model.stream.tell(SpeechBegan(0), SpeechStopped(500), TurnTaken("i1"))
        model.stream.tell(ResponseBegan("r1", ""), CallerSaid("i1", "On the twelfth of May", final=True))
        await settle(4_000)
        assert notes(model.stream) == []  # the model is about to speak
        model.stream.tell(Spoken("r1", "a1", sound(500).data), SpokenText("r1", "The second of May."))
        model.stream.tell(ResponseEnded("r1"))
        await settle(500)
        assert notes(model.stream) == []  # and is being heard
        running.up(BotStartedSpeakingFrame(1), HeardFrame(1, "The second of May.", complete=True, final=True))
        await settle(500)
        assert len(notes(model.stream)) == 1
        ((tag, say),) = model.stream.of("respond")
        assert say == ""
        await answers(running, model.stream, 2, "Sorry, the twelfth.", tag)
        assert running.call.replies.last == 2


async def test_it_does_not_speak_while_the_model_is_about_to() -> None:
    model = Model()
    async with rig(model, observers=[Auditor(auditing(CORRECTS, "OK"), deliver="now")]) as running:
        await settle()
        says(model.stream, 1, "On the twelfth of May")
        await answers(running, model.stream, 1, "The second of May.")
        model.send("The office has closed.", respond=True)
        await settle(4_000)
        assert notes(model.stream) == []
        ((tag, _),) = model.stream.of("respond")
        await answers(running, model.stream, 2, "By the way, we have closed.", tag)
        await settle(500)
        assert len(notes(model.stream)) == 1


async def test_it_works_with_turns_of_the_pipeline_and_with_keys() -> None:
    model = Model(own=True)
    async with rig(model, observers=[Auditor(auditing(CORRECTS, "OK"))]) as running:
        await settle()
        running.push(UserTurnFrame(1, "12", "dtmf"))
        await settle(500)
        running.push(UserTurnFrame(2, "Well?", "text"))
        await settle()
        told = [kind for kind, *_ in model.stream.told if kind in ("restore", "text")]
        assert told[-2:] == ["restore", "text"]  # the note stands before the turn
        assert len(notes(model.stream)) == 1


async def test_abort_has_the_model_say_the_last_sentence() -> None:
    model = Model()
    abort = call_tool("abort", message="I must end this call.")
    async with rig(model, observers=[Auditor(auditing(abort))]) as running:
        await settle()
        says(model.stream, 1, "Something bad")
        await settle(500)
        ((tag, say),) = model.stream.of("respond")
        assert say == "I must end this call."
        await answers(running, model.stream, 1, say, tag)
        async with asyncio.timeout(5):
            assert await running.call.wait_ended() == "aborted"


async def test_a_call_that_was_placed_lets_such_a_model_know_what_it_is_about() -> None:
    made: list[Model] = []

    def bot(call: Call) -> Pipeline:
        made.append(Model())
        return Pipeline([call.transport.input(), made[-1], call.transport.output()])

    dialler = LoopbackDialler()
    dialler.register("+493012345678", TextTransport)
    async with App(bot, dialler, store=None):
        dialled = await dialler.place("+493012345678", bot, subject=("appointment", "4711"), context={"name": "Ann"})
        await settle(1_500)
        (call, result) = made[0].record.messages()
        assert call == Message("assistant", "", (ToolCall("note-1", "note", {"from": "who placed the call"}),))
        assert "4711" in result.text
        assert "Ann" in result.text
        told = [*notes(made[0].stream)]
        assert len(told) == 1
        dialled.cancel()
        await dialled.call.wait_ended()
        await settle()
