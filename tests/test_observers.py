"""Observers write down tools, keys, latency and who did what, and change nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.call import CallSettings
from voiceframe.frames import (
    BotStartedSpeakingFrame,
    Frame,
    InputDTMFFrame,
    InterruptionRequestFrame,
    MessageFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    ToolCallFrame,
    ToolResultFrame,
    TranscriptionFrame,
    UpdateSettingsFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processor import Processor, handles
from voiceframe.processors.observers import AuditObserver, LatencyObserver, TraceObserver
from voiceframe.processors.observers.latency import PARTS, split
from voiceframe.testing.run import Result, Up, run


def personal(result: Result, kind: str) -> list[dict[str, Any]]:
    return [(e.data | (e.personal or {})) for e in result.events if e.kind == kind]


# -- trace


async def test_tools_keys_messages_and_settings_are_written_down() -> None:
    frames = [
        ToolCallFrame(call_id="1", name="book", arguments={"day": "Monday"}),
        ToolResultFrame(call_id="1", result={"ok": True}),
        ToolCallFrame(call_id="2", name="pay", arguments={}),
        ToolResultFrame(call_id="2", error="declined"),
        InputDTMFFrame(digit="5"),
        MessageFrame(data={"page": 2}),
        UpdateSettingsFrame(target="TTS", changes={"voice": "Ann", "speed": 2}),
    ]
    result = await run(observers=[TraceObserver()], frames=frames)
    assert personal(result, "tool.called") == [
        {"call_id": "1", "name": "book", "arguments": {"day": "Monday"}},
        {"call_id": "2", "name": "pay", "arguments": {}},
    ]
    assert personal(result, "tool.returned") == [
        {"call_id": "1", "failed": False, "error": None, "result": {"ok": True}},
        {"call_id": "2", "failed": True, "error": "declined", "result": None},
    ]
    assert personal(result, "dtmf.received") == [{"digit": "5"}]
    assert personal(result, "message.received") == [{"data": {"page": 2}}]
    assert personal(result, "settings.changed") == [{"target": "TTS", "names": ["voice", "speed"]}]
    assert result.down == frames[:-1]  # all went on; control frames are not among what `run` returns


async def test_what_a_person_said_or_pressed_is_personal() -> None:
    frames = [ToolCallFrame(call_id="1", name="book", arguments={"who": "Ann"}), InputDTMFFrame(digit="5")]
    result = await run(observers=[TraceObserver(), AuditObserver()], frames=frames)
    kept = [e.data for e in result.events if e.kind in ("tool.called", "dtmf.received", "audit.action")]
    assert len(kept) == 4  # with the end of the call
    assert "Ann" not in str(kept)
    assert "5" not in str(kept)


async def test_a_tool_may_return_what_json_does_not_have() -> None:
    frames = [
        ToolCallFrame(
            call_id="1",
            name="now",
            arguments={
                "zone": {
                    1,
                }
            },
        ),
        ToolResultFrame(call_id="1", result=(float("inf"), {2: b"x"})),
    ]
    result = await run(observers=[TraceObserver()], frames=frames)
    assert personal(result, "tool.called")[0]["arguments"] == {"zone": "{1}"}
    assert personal(result, "tool.returned")[0]["result"] == ["inf", {"2": "b'x'"}]
    assert not result.errors


class Rename(Processor):
    """Makes another frame of each tool frame that passes."""

    @handles(ToolCallFrame)
    def on_call(self, frame: ToolCallFrame) -> Frame:
        return frame.replace(name=frame.name.upper())

    @handles(ToolResultFrame)
    def on_result(self, frame: ToolResultFrame) -> Frame:
        return frame.replace(result="changed")


async def test_a_tool_call_that_a_processor_changes_counts_once() -> None:
    frames = [ToolCallFrame(call_id="1", name="book", arguments={}), ToolResultFrame(call_id="1", result="made")]
    result = await run(Rename(), observers=[TraceObserver(), AuditObserver()], frames=frames)
    kinds = [e.kind for e in result.events]
    assert (kinds.count("tool.called"), kinds.count("tool.returned")) == (1, 1)
    assert [a["outcome"] for a in personal(result, "audit.action") if a["action"] == "tool.call"] == ["asked", "done"]


# -- latency


class Answers(Processor):
    """Answers each turn: a reply after 30 ms, its words after 300 more."""

    @handles(UserTurnFrame)
    async def on_turn(self, frame: UserTurnFrame) -> None:
        await _pause(30)
        reply = self.begin_reply(frame.turn)
        self.push(ReplyStartedFrame(reply=reply, turn=frame.turn))
        await _pause(300)
        self.push(TextFrame(text="yes", reply=reply))
        self.push(ReplyEndedFrame(reply=reply))


async def _pause(ms: int) -> None:
    await asyncio.sleep(ms / 1000)


async def test_each_part_of_the_latency_is_named_and_they_sum_to_the_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="voiceframe.turns")
    result = await run(
        Answers(),
        observers=[LatencyObserver()],
        frames=[
            VADUserStartedSpeakingFrame(),
            1_000,
            VADUserStoppedSpeakingFrame(ended_ms=800),
            120,
            TranscriptionFrame(text="is Monday free"),
            50,
            UserTurnFrame(turn=1, text="is Monday free"),
            500,  # 330 of which the agent takes
            Up(BotStartedSpeakingFrame(reply=1)),
        ],
    )
    (latency,) = personal(result, "turn.latency")
    assert latency == {
        "turn": 1,
        "parts": {"vad": 200, "stt": 120, "turn": 50, "agent": 30, "llm": 300, "tts": 170},
        "total_ms": 870,
    }
    (line,) = [record.getMessage() for record in caplog.records if record.name == "voiceframe.turns"]
    assert line == "turn 1 answered in 870 ms (vad 200, stt 120, turn 50, agent 30, llm 300, tts 170)"
    assert "Monday" not in caplog.text


async def test_a_typed_turn_runs_from_its_commit() -> None:
    result = await run(
        Answers(),
        observers=[LatencyObserver()],
        frames=[
            VADUserStartedSpeakingFrame(),
            VADUserStoppedSpeakingFrame(),
            1_000,
            UserTurnFrame(turn=1, text="1", source="dtmf"),
            400,
            Up(BotStartedSpeakingFrame(reply=1)),
        ],
    )
    (latency,) = personal(result, "turn.latency")
    assert latency["parts"] == {"agent": 30, "llm": 300, "tts": 70}


async def test_speech_that_goes_on_begins_anew() -> None:
    result = await run(
        Answers(),
        observers=[LatencyObserver()],
        frames=[
            VADUserStoppedSpeakingFrame(),
            TranscriptionFrame(text="is"),
            700,
            VADUserStartedSpeakingFrame(),
            500,
            VADUserStoppedSpeakingFrame(),
            10,
            UserTurnFrame(turn=1, text="is Monday free"),
            400,
            Up(BotStartedSpeakingFrame(reply=1)),
        ],
    )
    (latency,) = personal(result, "turn.latency")
    assert latency["parts"] == {"vad": 0, "turn": 10, "agent": 30, "llm": 300, "tts": 70}


async def test_a_turn_has_one_latency_however_many_replies_it_gets() -> None:
    sound: list[Frame | Up | int] = [
        400,
        Up(BotStartedSpeakingFrame(reply=1)),
        100,
        Up(BotStartedSpeakingFrame(reply=1)),
    ]
    result = await run(Answers(), observers=[LatencyObserver()], frames=[UserTurnFrame(turn=1, text="a"), *sound])
    assert len(personal(result, "turn.latency")) == 1


async def test_a_turn_that_nobody_answers_has_its_line_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="voiceframe.turns")
    result = await run(
        observers=[LatencyObserver()],
        frames=[UserTurnFrame(turn=1, text="a"), 7_000, UserTurnFrame(turn=2, text="b")],
        settings=CallSettings(reprompt=""),
    )
    lines = [record.getMessage() for record in caplog.records if record.name == "voiceframe.turns"]
    assert lines == ["turn 1 unanswered: deadline", "turn 2 unanswered: ended"]
    assert personal(result, "turn.latency") == []


async def test_an_answer_after_the_deadline_is_measured_and_has_no_second_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="voiceframe.turns")
    result = await run(
        Answers(),
        observers=[LatencyObserver()],
        frames=[UserTurnFrame(turn=1, text="a"), 7_000, Up(BotStartedSpeakingFrame(reply=1))],
    )
    assert [latency["total_ms"] for latency in personal(result, "turn.latency")] == [7_000]
    assert len([record for record in caplog.records if record.name == "voiceframe.turns"]) == 1


@given(st.dictionaries(st.sampled_from(["speech", *PARTS]), st.integers(0, 10_000), min_size=1))
def test_whatever_is_missing_or_out_of_order_the_parts_sum_to_the_whole(marks: dict[str, int]) -> None:
    parts = split(marks)
    first = next(marks[name] for name in ("speech", *PARTS) if name in marks)
    assert sum(parts.values()) == max(0, max(marks.values()) - first)
    assert all(ms >= 0 for ms in parts.values())
    assert list(parts) == [name for name in PARTS if name in parts]


# -- audit


async def test_who_did_what_is_written_down() -> None:
    result = await run(
        observers=[AuditObserver()],
        frames=[
            UpdateSettingsFrame(target="TTS", changes={"voice": "Ann"}),
            ToolCallFrame(call_id="1", name="pay", arguments={"sum": 3}),
            ToolResultFrame(call_id="1", error="declined"),
        ],
    )
    assert [
        (a["actor"], a["action"], a["target"], a["outcome"], a["detail"]) for a in personal(result, "audit.action")
    ] == [
        ("application", "settings.update", "TTS", "asked", {"voice": "Ann"}),
        ("agent", "tool.call", "pay", "asked", {"sum": 3}),
        ("agent", "tool.call", "pay", "failed", {"error": "declined"}),
        ("application", "call.end", "call", "done", {"reason": "completed"}),
    ]


class Operator(Processor):
    """Interrupts the bot for the reason that it is asked for."""

    @handles(InterruptionRequestFrame)
    def on_request(self, frame: InterruptionRequestFrame) -> None:
        self.call.interrupt(frame.reason)


@pytest.mark.parametrize(
    ("reason", "actors"),
    [("operator:ann listens in", ["operator:ann"]), ("asked", ["application"]), ("barge-in", [])],
)
async def test_an_interruption_by_an_operator_is_an_action_and_one_by_the_caller_is_not(
    reason: str, actors: list[str]
) -> None:
    result = await run(Operator(), observers=[AuditObserver()], frames=[InterruptionRequestFrame(reason=reason)])
    actions = personal(result, "audit.action")
    assert [a["actor"] for a in actions if a["action"] == "reply.interrupt"] == actors


class HangsUp(Processor):
    """The other side leaves at its first key."""

    @handles(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> None:
        if frame.digit == "#":
            self.call.cancel("operator:ann")
        else:
            self.spawn(_pause(10_000))  # work that must finish: the end takes too long
            self.call.hang_up()
            asyncio.get_running_loop().call_later(0.1, self.call.cancel)


@pytest.mark.parametrize(("digit", "expected"), [("1", ("caller", "call.end")), ("#", ("operator:ann", "call.cancel"))])
async def test_the_end_is_written_once_with_whose_doing_it_was(digit: str, expected: tuple[str, str]) -> None:
    result = await run(HangsUp(), observers=[AuditObserver()], frames=[InputDTMFFrame(digit=digit), 1_000])
    assert [(a["actor"], a["action"]) for a in personal(result, "audit.action")] == [expected]
