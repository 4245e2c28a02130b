"""Turn taking by the recognizer's own turns: `TurnSettings(endpointing="provider")`."""

from __future__ import annotations

import asyncio

import pytest

from voiceframe.frames import (
    EagerTurnFrame,
    Frame,
    InterimTranscriptionFrame,
    STTEagerTurnFrame,
    STTTurnEndedFrame,
    STTTurnResumedFrame,
    TranscriptionFrame,
    TurnResumedFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processors import DeepgramSTT, Turns, TurnSettings
from voiceframe.processors.turn.turns import _without
from voiceframe.testing.run import Rig, rig

PROVIDER = TurnSettings(endpointing="provider", idle_ms=0)


async def push(call: Rig, *plan: int | Frame) -> None:
    """Numbers are milliseconds to wait."""
    for step in plan:
        if isinstance(step, int):
            await asyncio.sleep(step / 1000)
        else:
            call.push(step)
            await asyncio.sleep(0)


def started(call: Rig) -> Frame:
    return VADUserStartedSpeakingFrame(began_ms=call.call.clock.at_ms())


def stopped(call: Rig) -> Frame:
    return VADUserStoppedSpeakingFrame(ended_ms=call.call.clock.at_ms())


def turns(call: Rig) -> list[tuple[str, int]]:
    return [(frame.text, frame.at_ms) for frame in call.result.down if isinstance(frame, UserTurnFrame)]


async def speech(call: Rig, text: str) -> None:
    await push(call, VADUserStartedSpeakingFrame(began_ms=call.call.clock.at_ms()), 500)
    await push(call, VADUserStoppedSpeakingFrame(ended_ms=call.call.clock.at_ms()), 50, TranscriptionFrame(text))


async def test_the_turn_is_the_recognizers_in_time_and_text() -> None:
    async with rig(Turns(PROVIDER)) as call:
        await speech(call, "i would like")
        await push(call, 1_200)
        await speech(call, "an appointment")
        await push(call, 100, STTTurnEndedFrame("I'd like an appointment.", 0.9), 5_000)
        assert turns(call) == [("I'd like an appointment.", 2_400)]


async def test_it_may_come_before_the_vads_verdict_and_the_words() -> None:
    async with rig(Turns(PROVIDER)) as call:
        await push(call, VADUserStartedSpeakingFrame(began_ms=0), 600)
        await push(call, STTTurnEndedFrame("hello"), 100, VADUserStoppedSpeakingFrame(ended_ms=600), 100)
        await push(call, TranscriptionFrame("hello"), 5_000)
        await speech(call, "again")
        await push(call, STTTurnEndedFrame("again"), 5_000)
        assert [text for text, _ in turns(call)] == ["hello", "again"]


async def test_a_recognizer_that_says_nothing_is_not_waited_for_for_ever() -> None:
    async with rig(Turns(PROVIDER)) as call:
        await speech(call, "hello there")
        await push(call, 4_000)
        assert turns(call) == [("hello there", 3_500)]  # max_silence_ms after the end of speech
        # What it then says of the same words is no second turn; what is new is.
        await push(call, STTTurnEndedFrame("Hello, there."), 100)
        assert len(turns(call)) == 1
        await speech(call, "are you there")
        await push(call, STTTurnEndedFrame("Are you there?"), 100)
        assert [text for text, _ in turns(call)] == ["hello there", "Are you there?"]


async def test_a_turn_that_goes_on_behind_one_that_was_not_waited_for_is_only_its_rest() -> None:
    async with rig(Turns(PROVIDER)) as call:
        await speech(call, "hello there")
        await push(call, 4_000)
        await speech(call, "are you there")
        await push(call, STTTurnEndedFrame("Hello there, are you there?"), 100)
        assert [text for text, _ in turns(call)] == ["hello there", "are you there?"]


async def test_an_early_announcement_is_passed_on_and_taken_back() -> None:
    async with rig(Turns(PROVIDER)) as call:
        await push(call, VADUserStartedSpeakingFrame(began_ms=0), 500, InterimTranscriptionFrame("on thursday"))
        await push(call, STTEagerTurnFrame("on thursday"), 200, STTTurnResumedFrame(), 300)
        await push(call, STTEagerTurnFrame("on thursday at ten"), 100, STTTurnEndedFrame("on thursday at ten"), 100)
        kinds = (EagerTurnFrame, TurnResumedFrame, UserTurnFrame)
        assert [type(frame) for frame in call.result.down if isinstance(frame, kinds)] == [
            EagerTurnFrame,
            TurnResumedFrame,
            EagerTurnFrame,
            UserTurnFrame,
        ]


@pytest.mark.parametrize("endpointing", ["fixed", "adaptive"])
async def test_with_other_endpointing_they_are_ignored(endpointing: str) -> None:
    async with rig(Turns(TurnSettings(endpointing=endpointing, idle_ms=0))) as call:  # type: ignore[arg-type]
        await speech(call, "hello there.")
        await push(call, STTEagerTurnFrame("x"), STTTurnResumedFrame(), STTTurnEndedFrame("something else"), 4_000)
        assert [text for text, _ in turns(call)] == ["hello there."]
        assert not any(isinstance(frame, EagerTurnFrame) for frame in call.result.down)


async def test_a_recognizer_without_turns_is_named() -> None:
    async with rig(DeepgramSTT(api_key="key"), Turns(PROVIDER)) as call:
        await push(call, 100)
        assert [getattr(error, "code", "") for error in call.result.errors] == ["stt.no-turns"]


@pytest.mark.parametrize(
    ("early", "text", "rest"),
    [
        ("", "a b", "a b"),
        ("hello there", "Hello, there. And you?", "And you?"),
        ("hello there", "Hello there", ""),
        ("hello there", "something else entirely", "something else entirely"),
    ],
)
def test_what_was_committed_before_is_left_out(early: str, text: str, rest: str) -> None:
    assert _without(early, text) == rest
