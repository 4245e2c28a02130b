"""The record of a call: what can be asked of it, and that it says no where it should."""

from __future__ import annotations

import io
import re
import wave
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest

from voiceframe import Agent, Call, Pipeline
from voiceframe.errors import TestKitError
from voiceframe.events import (
    CallEnded,
    Event,
    GuardrailDecided,
    HandoffDecided,
    HandoffRequested,
    LoggedEvent,
    SpecialistChanged,
)
from voiceframe.guardrails import Words
from voiceframe.processors.agents import Squad
from voiceframe.processors.guardrails import Guardrail
from voiceframe.testing import CallTranscript, ScriptedLLM, ToneTTS, call_tool, dial
from voiceframe.testing.run import rig
from voiceframe.tones import tone
from voiceframe.tools import ToolContext, tool

ECHO = str(Path(__file__).resolve().parent.parent / "examples/echo.py")


@tool()
async def book(ctx: ToolContext, day: date, doctor: str = "Dr Lee", rooms: list[int] | None = None) -> str:
    """Book."""
    if doctor == "Dr No":
        raise LookupError("nobody of that name")
    return f"number 7 on {day}"


def clinic(call: Call) -> Pipeline:
    model = ScriptedLLM(
        [
            "On Thursday at ten. Shall I book it?",
            call_tool("book", "tool-1", day="2026-12-03", doctor="Dr Lee", rooms=[1, 2]),
            "It is booked.",
            call_tool("book", "tool-2", day="2026-12-04", doctor="Dr No"),
            "That did not work.",
        ],
        delay_ms=400,
    )
    agent = Agent("clinic", "You book.", model, greeting="City clinic, hello!", tools=[book])
    return Pipeline([call.transport.input(), agent, call.transport.output()])


async def booked() -> CallTranscript:
    async with dial(clinic) as caller:
        await caller.hears("hello")
        await caller.says("When can I come?")
        await caller.hears("thursday")
        await caller.interrupts("Yes", after_ms=300)
        await caller.hears("booked")
        await caller.says("And another one")
        await caller.hears("not work")
    return caller.record


async def made(*events: Event, private: bool = False) -> CallTranscript:
    """The record of a call in which nothing has happened but these events."""
    async with rig() as running:
        running.call.log.private = int(private)
        for one in events:
            running.call.log.write(one)
    return CallTranscript(running.result.events)


async def test_tools_are_asked_for_by_what_they_were_given() -> None:
    record = await booked()
    same = record.tool_called("book").tool_called("book", day=..., rooms=...)
    same.tool_called("book", day=date(2026, 12, 3), rooms=(1, 2))
    same.tool_called("book", day=re.compile(r"-12-03$"), doctor=str)
    same.tool_called("book", doctor=lambda name: name.startswith("Dr"), rooms=[1, ...])
    assert same is record
    for wrong in (
        {"day": date(2026, 12, 5)},
        {"nights": ...},
        {"day": re.compile("tomorrow")},
        {"doctor": int},
        {"rooms": [1]},
        {"rooms": {"1": 2}},
        {"doctor": lambda name: name == "Dr Who"},
    ):
        with pytest.raises(TestKitError, match=r"test\.tool-not-called") as caught:
            record.tool_called("book", **wrong)
        assert "book(day='2026-12-03', doctor='Dr Lee', rooms=[1, 2])" in str(caught.value)
    record.not_called("cancel").not_called("book", day="2026-12-05")
    with pytest.raises(TestKitError, match=r"test\.tool-called"):
        record.not_called("book")
    with pytest.raises(TestKitError, match=r"test\.tool-called"):
        record.not_called("book", day="2026-12-03")


async def test_calls_of_tools_have_what_came_of_them() -> None:
    first, second = (await booked()).tools
    assert (first.failed, first.result, first.error) == (False, "number 7 on 2026-12-03", None)
    assert second.failed
    assert "nobody of that name" in str(second.error)
    assert first.returned_ms is not None
    assert first.at_ms <= first.returned_ms < second.at_ms


async def test_a_transcript_has_everything_in_the_order_in_which_it_began() -> None:
    record = await booked()
    assert [(line.who, line.text) for line in record.transcript][:7] == [
        ("bot", "City clinic, hello!"),
        ("caller", "When can I come?"),
        ("bot", "On Thursday at"),
        ("caller", "Yes"),
        ("tool", "book(day='2026-12-03', doctor='Dr Lee', rooms=[1, 2])"),
        ("result", 'book: "number 7 on 2026-12-03"'),
        ("bot", "It is booked."),
    ]
    assert [line.at_ms for line in record.transcript] == sorted(line.at_ms for line in record.transcript)
    assert record.outcome == record.reason == "hangup"


async def test_what_is_not_kept_is_not_known_and_not_made_up() -> None:
    def bot(call: Call) -> Pipeline:
        model = ScriptedLLM([call_tool("book", day="2026-12-03"), "It is booked."])
        agent = Agent("clinic", "You book.", model, greeting="Hello!", tools=[book])
        return Pipeline([call.transport.input(), agent, call.transport.output()])

    async with dial(bot) as caller:
        await caller.hears("hello")
        await caller.listens()
        with caller.call.private():
            await caller.says("Thursday")
            await caller.listens()
    record = caller.record
    assert [(line.who, line.text) for line in record.transcript][:2] == [("bot", "Hello!"), ("caller", None)]
    assert record.turns == [""]
    assert record.heard == ["Hello!"]
    record.tool_called("book")
    with pytest.raises(TestKitError, match=r"book\(arguments not kept\)"):
        record.tool_called("book", day="2026-12-03")
    with pytest.raises(TestKitError, match=r"test\.tool-called"):  # it may have had them
        record.not_called("book", day="2026-12-05")


async def test_handoffs_are_asked_for_by_where_they_led() -> None:
    squad: dict[str, Any] = {"squad": "support", "source": "triage"}
    record = await made(
        SpecialistChanged(squad="support", specialist="triage", cause="start"),
        HandoffDecided(**squad, asked="billing", target="billing", status="allowed", reason="an invoice"),
        SpecialistChanged(squad="support", specialist="billing", previous="triage", cause="handoff"),
        HandoffDecided(**squad, asked="sales", target="support", status="rerouted"),
        HandoffDecided(**squad, asked="vault", status="blocked", why="policy"),
        HandoffRequested(target="reception", reason="asked", target_kind="number", number="+4930123"),
        CallEnded(reason="handed-over", duration_ms=1),
    )
    record.handed_off_to("billing").handed_off_to("support").handed_off_to("reception").handed_off_to("+4930123")
    record.handed_off_to("sales", status="rerouted").handed_off_to("vault", status="blocked")
    for target, status in (("vault", None), ("sales", None), ("billing", "blocked"), ("triage", None)):
        with pytest.raises(TestKitError, match=r"test\.not-handed-off") as caught:
            record.handed_off_to(target, status=status)
        assert "to vault (blocked)" in str(caught.value)
    assert record.handoffs[0].reason == "an invoice"
    assert record.specialists == ["triage", "billing"]
    assert record.outcome == "handed-over"


async def test_what_guardrails_have_stopped_is_asked_for_by_rule_and_stage() -> None:
    record = await made(
        GuardrailDecided(stage="transcript", rule="cards", action="redact", done="redact"),
        GuardrailDecided(stage="output", rule="advice", action="block", done="block"),
        GuardrailDecided(stage="tool-input", rule="fraud", action="escalate", done="escalate"),
    )
    record.blocked().blocked("advice").blocked(stage="output").blocked("fraud", stage="tool-input")
    for rule, stage in (("cards", None), ("advice", "transcript"), ("nobody", None)):
        with pytest.raises(TestKitError, match=r"test\.not-blocked.*") as caught:
            record.blocked(rule, stage=stage)
        assert "block by advice at output" in str(caught.value)


async def test_what_squads_and_guardrails_really_write_is_understood() -> None:
    def bot(call: Call) -> Pipeline:
        guard = Guardrail(Words("guarantee", action="block", name="promises"))
        away = call_tool("hand_off", target="billing", reason="an invoice", summary="Invoice 7.")
        triage = Agent("triage", "You sort.", ScriptedLLM([away]), description="sorts")
        billing = Agent("billing", "You bill.", ScriptedLLM(["It is paid.", "I guarantee it."]), description="bills")
        squad = Squad([triage, billing], start="triage")
        return Pipeline([call.transport.input(), guard, squad, guard.output(), call.transport.output()])

    async with dial(bot) as caller:
        await caller.says("My invoice")
        await caller.hears("paid")
        await caller.says("Are you sure?")
        await caller.listens()
    record = caller.record.handed_off_to("billing", status="allowed").blocked("promises", stage="output")
    record.tool_called("hand_off", target="billing")
    (handoff,) = record.handoffs
    assert (handoff.source, handoff.reason, handoff.summary) == ("triage", "an invoice", "Invoice 7.")
    assert record.specialists == ["triage", "billing"]
    assert [line.who for line in record.transcript][:5] == ["caller", "tool", "result", "handoff", "bot"]


async def test_a_record_is_made_of_kept_events_in_any_order() -> None:
    record = await booked()
    again = CallTranscript(LoggedEvent.from_json(line) for line in reversed([e.to_json() for e in record.events]))
    assert again.events == record.events
    assert again.transcript == record.transcript
    assert CallTranscript().outcome == "running"


@pytest.mark.parametrize("via", ["audio", "twilio"])
async def test_both_sides_are_a_wav_where_there_was_sound(via: Literal["audio", "twilio"], tmp_path: Path) -> None:
    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), Agent("a", greeting="Hello."), ToneTTS(), call.transport.output()])

    async with dial(bot, via=via, voice=lambda text: tone(700, 300)) as caller:
        await caller.listens()
        await caller.says("hm")
    caller.record.save_wav(tmp_path / "call.wav")
    with wave.open(io.BytesIO(caller.record.wav)) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8_000)
        assert file.readframes(file.getnframes()) == caller.recording
    assert (tmp_path / "call.wav").read_bytes() == caller.record.wav
    async with dial(ECHO) as typed:
        await typed.hears("echo")
    with pytest.raises(TestKitError, match=r"test\.no-sound"):
        _ = typed.record.wav
