"""The test kit, which is a part of the product: what it delivers, what it refuses, and that it is honest."""

from __future__ import annotations

import array
import asyncio
import math
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from voiceframe import Agent
from voiceframe.audio import PCM_16K, Audio
from voiceframe.call import Call
from voiceframe.errors import LinkError, TestKitError
from voiceframe.frames import (
    HeardFrame,
    InputAudioFrame,
    InterimTranscriptionFrame,
    InterruptionRequestFrame,
    OutputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    TranscriptionFrame,
    UpdateSettingsFrame,
)
from voiceframe.llm import LLMRequest, Message, Stop, TextDelta, ToolCall, Usage
from voiceframe.pipeline import Pipeline
from voiceframe.processor import Processor, handles
from voiceframe.testing import ScriptedLLM, ScriptedSTT, ToneTTS, Up, call_tool, dial, no_leaks, run, run_virtual

ECHO = str(Path(__file__).resolve().parent.parent / "examples/echo.py")


class Upper(Processor):
    @handles(TranscriptionFrame)
    def on_transcription(self, frame: TranscriptionFrame) -> TranscriptionFrame:
        return frame.replace(text=frame.text.upper())


class Broken(Processor):
    @handles(TranscriptionFrame)
    def on_transcription(self, frame: TranscriptionFrame) -> None:
        raise ValueError("no")


# -- run()


async def test_run_returns_what_came_out_at_both_ends() -> None:
    heard = HeardFrame(1, "hello")
    asked = InterruptionRequestFrame("cough")
    result = await run(Upper(), frames=[TranscriptionFrame("hello"), Up(heard), asked])
    assert result.texts == ["HELLO"]
    assert asked in result.down
    assert result.up == [heard]
    assert result.reason == "completed"
    assert result.errors == []


async def test_run_reports_errors_once_although_they_travel_both_ways() -> None:
    result = await run(Upper(), Broken(), frames=[TranscriptionFrame("hello")])
    assert [str(error) for error in result.errors] == ["no"]
    assert [event.data["processor"] for event in result.events if event.kind == "processor.failed"] == ["Broken"]


async def test_run_waits_where_it_is_told_to() -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    class Clock(Processor):
        @handles(TranscriptionFrame)
        def on_transcription(self, frame: TranscriptionFrame) -> None:
            times.append(loop.time())

    await run(Clock(), frames=[TranscriptionFrame("a"), 1_500, TranscriptionFrame("b")])
    assert times[1] - times[0] == pytest.approx(1.5)


# -- dial()


async def test_a_caller_hears_and_is_told_when_not() -> None:
    async with dial(ECHO) as caller:
        match = await caller.hears(r"an (\w+)")
        assert match.group(1) == "echo"
        with pytest.raises(TestKitError, match="goodness") as caught:
            await caller.hears("goodness", within_ms=500)
    assert isinstance(caught.value, AssertionError)
    assert "Hello, I am an echo." in str(caught.value)


async def test_the_same_seed_gives_the_same_events_byte_for_byte() -> None:
    lines = []
    for _ in range(2):
        async with dial(ECHO, seed=5) as caller:
            await caller.says("good morning")
            await caller.interrupts("wait", after_ms=700)
            await caller.listens()
        lines.append(caller.record.lines())
    assert lines[0] == lines[1]
    assert '"turn.answered"' in lines[0]


async def test_a_caller_does_not_take_frames_that_still_wait_for_silence() -> None:
    async with dial(ECHO) as caller:
        await caller.hears("I am an echo.")
        await caller.listens()
        for _ in range(300):  # more than a call runs without letting others run: what is pushed behind them waits
            caller.call.send(UpdateSettingsFrame("nobody", {}))
        caller.interrupts_now("good morning")
        assert caller.call.turns.pending is None
        assert await caller.listens() == "You said: good morning"


async def test_a_voice_of_tones_is_heard_to_the_letter() -> None:
    def bot(call: Call) -> Pipeline:
        agent = Agent("clinic", greeting="Hello  you, there.\nYes?")
        return Pipeline([call.transport.input(), agent, ToneTTS(), call.transport.output()])

    async with dial(bot, via="audio", voice=lambda text: b"") as caller:
        assert await caller.listens() == "Hello  you, there.\nYes?"
    assert caller.record.heard == ["Hello  you, there.\nYes?"]


async def test_a_caller_cannot_speak_after_the_end() -> None:
    async with dial(ECHO) as caller:
        await caller.says("bye")
        assert await caller.hears_the_end() == "completed"
        with pytest.raises(TestKitError, match=r"test\.ended"):
            await caller.says("hello?")


async def test_keys_reach_the_bot() -> None:
    from voiceframe.frames import InputDTMFFrame

    pressed: list[str] = []

    class Keys(Processor):
        @handles(InputDTMFFrame)
        def on_key(self, frame: InputDTMFFrame) -> None:
            pressed.append(frame.digit)

    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), Keys(), call.transport.output()])

    async with dial(bot) as caller:
        await caller.presses("12#")
    assert pressed == ["1", "2", "#"]


async def test_dial_refuses_what_it_cannot_do() -> None:
    with pytest.raises(TestKitError, match="smoke signals"):
        async with dial(ECHO, via="smoke signals"):  # type: ignore[call-overload]
            pass
    with pytest.raises(LinkError, match="returned 7"):
        async with dial(lambda call: 7):  # type: ignore[arg-type,return-value]
            pass


async def test_a_tool_that_was_not_called_is_named_with_what_was() -> None:
    async with dial(ECHO) as caller:
        await caller.says("hello")
    with pytest.raises(TestKitError, match="no tool"):
        caller.record.tool_called("book", day="Thursday")


# -- scripted parts


def request(*texts: str) -> LLMRequest:
    return LLMRequest(tuple(Message("user", text) for text in texts))


async def test_a_scripted_model_gives_one_answer_after_the_other() -> None:
    llm = ScriptedLLM(["Hello there", call_tool("book", day="Thursday"), lambda asked: asked.messages[-1].text])
    assert [part async for part in llm.stream(request("a"))] == [
        TextDelta("Hello"),
        TextDelta(" there"),
        Usage(1, 2),
        Stop("end"),
    ]
    assert [part async for part in llm.stream(request("b"))] == [
        ToolCall("tool-1", "book", {"day": "Thursday"}),
        Stop("tools"),
    ]
    parts = [part async for part in llm.stream(request("b", "c"))]
    assert parts[0] == TextDelta("c")
    with pytest.raises(TestKitError, match="reply 4"):
        [part async for part in llm.stream(request("d"))]
    assert len(llm.requests) == 4


async def test_a_scripted_model_takes_its_time_and_notices_that_it_is_cancelled() -> None:
    llm = ScriptedLLM(["one two three"], delay_ms=300, word_ms=100, repeat=True)
    loop = asyncio.get_running_loop()
    began = loop.time()
    times = [loop.time() - began async for part in llm.stream(request("a")) if isinstance(part, TextDelta)]
    assert times == pytest.approx([0.3, 0.4, 0.5])
    stream = llm.stream(request("a"))
    await anext(stream)
    await stream.aclose()
    assert llm.cancelled == 1


async def test_a_scripted_recognizer_hears_by_media_time() -> None:
    piece = Audio(bytes(640), PCM_16K)
    frames = [InputAudioFrame(piece, at_ms=20 * n) for n in range(60)]
    result = await run(ScriptedSTT({1_000: "on Thursday morning"}), frames=frames)
    words = [f for f in result.down if isinstance(f, TranscriptionFrame | InterimTranscriptionFrame)]
    assert [(type(f).__name__, f.text, f.at_ms) for f in words] == [
        ("InterimTranscriptionFrame", "on", 800),
        ("InterimTranscriptionFrame", "on Thursday", 900),
        ("TranscriptionFrame", "on Thursday morning", 1_000),
    ]
    assert sum(isinstance(f, InputAudioFrame) for f in result.down) == 60


async def test_a_tone_is_as_long_as_the_words_and_as_loud_and_high_as_asked() -> None:
    voice = ToneTTS(char_ms=50, frequency=500.0, level_dbfs=-20.0)
    frames = [ReplyStartedFrame(1), TextFrame("hello world, again", 1), ReplyEndedFrame(1)]
    result = await run(voice, frames=frames)
    pieces = [f for f in result.down if isinstance(f, OutputAudioFrame)]
    samples = array.array("h", b"".join(piece.audio.data for piece in pieces))
    assert len(samples) == 16_000 * 18 * 50 // 1000
    rms = math.sqrt(sum(s * s for s in samples) / len(samples))
    assert 20 * math.log10(rms / 32767) == pytest.approx(-20, abs=0.1)
    crossings = sum((a < 0) != (b < 0) for a, b in pairwise(samples))
    assert crossings / 2 / (len(samples) / 16_000) == pytest.approx(500, rel=0.01)
    words = [
        (word.text, word.start_ms + at)
        for at, piece in zip(count(step=100), pieces, strict=False)
        for word in piece.words
    ]
    assert words == [("hello", 0), (" world,", 300), (" again", 650)]
    assert [type(f).__name__ for f in (result.down[0], result.down[-1])] == ["ReplyStartedFrame", "ReplyEndedFrame"]


# -- virtual time and leaks


def test_virtual_time_does_not_wait() -> None:
    async def long() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    assert run_virtual(long()) == 86_400


async def test_a_task_that_is_left_behind_is_named() -> None:
    async def forgotten() -> None:
        await asyncio.sleep(10**6)

    async def leave_behind() -> asyncio.Task[None]:
        with no_leaks():
            task = asyncio.ensure_future(forgotten())
            await asyncio.sleep(0)
        return task

    with pytest.raises(TestKitError, match="forgotten"):
        await leave_behind()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


def test_the_plugin_runs_async_tests_on_virtual_time_and_pins_leaks_on_the_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["voiceframe.testing.plugin"]')
    pytester.makepyfile(
        """
        import asyncio
        import pytest

        async def test_hours():
            await asyncio.sleep(36_000)

        async def test_leaks():
            async def forgotten():
                await asyncio.sleep(36_000)
            asyncio.get_running_loop().kept = asyncio.ensure_future(forgotten())

        @pytest.mark.real_time
        async def test_real(tmp_path):
            assert not getattr(asyncio.get_running_loop(), "virtual", False)

        def test_plain():
            pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--import-mode=importlib")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*test.leak*"])
    assert "forgotten" in result.stdout.str()


async def test_a_turn_may_be_watched_through_the_record() -> None:
    async with dial(ECHO) as caller:
        await caller.says("hello")
        await caller.hears("you said: hello")
        await caller.listens()
    assert caller.record.turns == ["hello"]
    assert caller.record.heard == ["Hello, I am an echo.", "You said: hello"]
    assert caller.record.outcomes == {1: "answered"}


async def test_what_a_bot_knows_of_its_caller_is_given_to_dial() -> None:
    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), ToneTTS(), call.transport.output()])

    known: dict[str, Any] = {"from_": "+4930111", "to": "+4930222", "metadata": {"plan": "business"}}
    for via in ("text", "audio"):
        async with dial(bot, via=via, **known) as caller:
            call = caller.call
        assert (call.from_, call.to, call.metadata["plan"]) == ("+4930111", "+4930222", "business")
    with pytest.raises(TestKitError) as caught:
        async with dial(bot, via="twilio", **known):
            pass
    assert caught.value.code == "test.metadata"
    async with dial(bot, via="twilio", from_="+4930111", to="+4930222") as twilio:
        assert (twilio.call.from_, twilio.call.to) == ("+4930111", "+4930222")
        assert twilio.call.metadata["Caller"] == "+4930111"
