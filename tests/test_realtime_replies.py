"""What a model that hears and speaks itself says: faults without a word, files, and settings that change meanwhile."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import pytest

from tests.realtime_model import Model, down, settle
from voiceframe.errors import ProviderError, SpeechError
from voiceframe.frames import (
    ClipFrame,
    InterruptionRequestFrame,
    OutputAudioFrame,
    PlayFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    SayFrame,
    TextFrame,
    UpdateSettingsFrame,
)
from voiceframe.processors.realtime import Realtime, RealtimeSettings
from voiceframe.processors.realtime.clips import played
from voiceframe.processors.realtime.stream import (
    Refused,
    ResponseBegan,
    ResponseEnded,
    SpeechBegan,
    Spoken,
    SpokenText,
    TurnTaken,
)
from voiceframe.testing.run import Rig, rig


def _error(code: str, status: int) -> ProviderError:
    return ProviderError.of(code, vendor="acme", status=status, detail="no", by="Model", variable="ACME_API_KEY")


# -- faults


async def test_a_response_that_fails_without_a_word_is_asked_for_once_more() -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        broken = _error("provider.server", 500)
        model.stream.tell(TurnTaken("i1"), ResponseBegan("r1", ""), ResponseEnded("r1", "failed", error=broken))
        await settle()
        ((tag, _),) = model.stream.of("respond")
        assert [event.data["code"] for event in running.events("provider.lost")] == ["provider.server"]
        assert not running.result.errors
        model.stream.tell(ResponseBegan("r2", tag), ResponseEnded("r2", "failed", error=broken))
        await settle()
        assert len(model.stream.of("respond")) == 1  # and no more
        assert running.result.errors == [broken]


async def test_an_answer_without_words_is_asked_for_once_more_in_the_same_turn() -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        model.stream.tell(TurnTaken("i1"), ResponseBegan("r1", ""), ResponseEnded("r1"))
        await settle()
        ((tag, _),) = model.stream.of("respond")
        model.stream.tell(ResponseBegan("r2", tag), SpokenText("r2", "Hi."), Spoken("r2", "i2", bytes(800)))
        model.stream.tell(ResponseEnded("r2"))
        await settle()
        assert [(frame.reply, frame.turn) for frame in down(running, ReplyStartedFrame)] == [(1, 1)]


async def test_a_refusal_of_something_else_costs_no_answer() -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        running.push(SayFrame("Hello."))
        await settle()
        ((tag, _),) = model.stream.of("respond")
        refusal = _error("provider.request", 400)
        model.stream.tell(Refused(refusal))  # of other settings, say
        await settle()
        assert running.result.errors == [refusal]
        assert not down(running, ReplyEndedFrame)
        model.stream.tell(ResponseBegan("r1", tag), SpokenText("r1", "Hello."), Spoken("r1", "i1", bytes(800)))
        model.stream.tell(ResponseEnded("r1"))
        await settle()
        assert [frame.text for frame in down(running, TextFrame)] == ["Hello."]
        running.push(SayFrame("And?"))
        await settle()
        model.stream.tell(Refused(refusal, model.stream.of("respond")[1][0]))
        await settle()
        assert len(down(running, ReplyEndedFrame)) == 2


async def test_settings_that_change_while_it_connects_hold() -> None:
    model = Model()
    model.may_open.clear()
    async with rig(model) as running:
        await settle(4_000)
        running.push(UpdateSettingsFrame(model.name, {"instructions": "Be brief."}))
        await settle()
        model.may_open.set()
        await settle()
        assert model.stream.config.instructions == "Be kind."
        assert model.stream.of("configure")[-1][0].instructions == "Be brief."


async def test_a_vendor_that_refuses_later_ends_the_call() -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        model.refuses = _error("provider.auth", 401)
        model.stream.tell(ConnectionResetError("gone"))
        assert await running.call.wait_ended() == "error"


def _speaks(model: Model) -> bool:
    assert model.speaking == model.call.turns.user_speaking
    return model.speaking


async def test_who_is_not_heard_on_the_next_connection_has_stopped() -> None:
    model = Model(settings=RealtimeSettings(response_ms=2_000))
    async with rig(model) as running:
        await settle()
        model.stream.tell(SpeechBegan(0))
        await settle()
        model.stream.tell(ConnectionResetError("gone"))
        await settle(1_000)
        assert _speaks(model)
        await settle(2_000)
        assert not _speaks(model)
        assert len(running.events("speech.ended")) == 1
        model.stream.tell(SpeechBegan(0))
        await settle()
        model.stream.tell(ConnectionResetError("gone"))
        await settle(500)
        model.stream.tell(SpeechBegan(0))  # they still do
        await settle(5_000)
        assert _speaks(model)


# -- files


def _wav(path: Path, length_ms: int, rate: int = 8_000) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * rate * length_ms // 1000))
    return str(path)


def _played(running: Rig, reply: int) -> tuple[float, str]:
    frames = [frame for frame in down(running, OutputAudioFrame) if frame.reply == reply]
    return sum(f.audio.duration_ms for f in frames), "".join(w.text for f in frames for w in f.words)


async def test_a_file_is_played_in_its_place(tmp_path: Path) -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        path = _wav(tmp_path / "music.wav", 1_200)
        running.push(SayFrame("One."), PlayFrame(path, "La la la"), SayFrame("Two."))
        await settle()
        ((tag, _),) = model.stream.of("respond")
        assert _played(running, 2) == (0, "")
        model.stream.tell(ResponseBegan("r1", tag), Spoken("r1", "i1", bytes(800)), ResponseEnded("r1"))
        await settle()
        assert _played(running, 2) == (1_200, "La la la")
        assert [frame.reply for frame in down(running, ReplyEndedFrame)] == [1, 2]
        assert model.stream.of("respond")[1][1] == "Two."


async def test_while_a_file_is_played_nobody_else_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slowly(owner: Realtime, frame: ClipFrame) -> None:
        await asyncio.sleep(2)
        await played(owner, frame)

    monkeypatch.setattr("voiceframe.processors.realtime.mouth.played", slowly)
    model = Model()
    async with rig(model) as running:
        await settle()
        running.push(PlayFrame(_wav(tmp_path / "a.wav", 100), "music", interruptible=False))
        await settle()
        model.stream.tell(TurnTaken("i1"), ResponseBegan("r1", ""), Spoken("r1", "i2", bytes(800)), ResponseEnded("r1"))
        await settle()
        assert not down(running, OutputAudioFrame)
        await settle(2_000)
        assert [frame.reply for frame in down(running, OutputAudioFrame)] == [1, 2]
        assert [frame.reply for frame in down(running, ReplyEndedFrame)] == [1, 2]


async def test_a_file_is_interrupted(tmp_path: Path) -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        running.push(PlayFrame(_wav(tmp_path / "a.wav", 10_000), "music"), InterruptionRequestFrame("enough"))
        await settle()
        assert _played(running, 1)[0] < 10_000
        assert not model.mouth.busy


async def test_a_file_that_cannot_be_played_is_told_and_the_call_goes_on(tmp_path: Path) -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        running.push(PlayFrame(str(tmp_path / "none.wav")), SayFrame("Hello."))
        await settle()
        (error,) = running.result.errors
        assert isinstance(error, SpeechError)
        assert error.code == "tts.clip"
        assert [frame.reply for frame in down(running, ReplyEndedFrame)] == [1]
        assert [say for _, say in model.stream.of("respond")] == ["Hello."]
