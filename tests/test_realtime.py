"""What all models that hear and speak themselves have in common: sound, record, turns, keys, a whole call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.realtime_model import Model, down, settle, sound
from voiceframe.audio import PCM_8K, Audio
from voiceframe.call import Call, CallSettings
from voiceframe.errors import ProviderError
from voiceframe.events import SpeechDiscarded
from voiceframe.frames import (
    InputAudioFrame,
    InputDTMFFrame,
    InterruptionRequestFrame,
    OutputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    SayFrame,
    TextFrame,
    ToolResultFrame,
    UpdateSettingsFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.llm import Message, ToolCall
from voiceframe.pipeline import Pipeline
from voiceframe.prices import Amounts
from voiceframe.processors import OpenAIRealtime
from voiceframe.processors.realtime import RealtimeSettings
from voiceframe.processors.realtime.record import Record
from voiceframe.processors.realtime.sound import Sound
from voiceframe.processors.realtime.stream import (
    CallerSaid,
    ResponseBegan,
    ResponseEnded,
    SpeechBegan,
    SpeechStopped,
    Spoken,
    SpokenText,
    ToolWanted,
    TurnTaken,
)
from voiceframe.provider import Place
from voiceframe.testing.providers.openai_realtime import FakeOpenAIRealtime, speech
from voiceframe.testing.run import rig
from voiceframe.tools import ToolContext, tool
from voiceframe.transports.loopback import LoopbackTransport

# -- turns of one's own


async def test_with_turns_of_ones_own_only_speech_is_sent_and_the_turn_is_committed_behind_it() -> None:
    model = Model(own=True)
    async with rig(model) as running:
        await settle()
        for n in range(100):
            running.push(InputAudioFrame(sound(), at_ms=20 * (n + 1)))
            await asyncio.sleep(0.02)
        assert model.stream.sound == 0
        running.push(VADUserStartedSpeakingFrame(began_ms=1_900))
        await settle()
        assert 0 < model.stream.sound <= 8 * 1_000  # the moment before it
        running.push(InputAudioFrame(sound(), at_ms=2_020), VADUserStoppedSpeakingFrame())
        running.push(UserTurnFrame(1, "hello"))
        await settle()
        assert [told[0] for told in model.stream.told][-3:] == ["audio", "commit", "respond"]
        tag = model.stream.of("respond")[0][0]
        model.stream.tell(
            TurnTaken("i1"),
            ResponseBegan("r1", tag),
            SpokenText("r1", "Hi."),
            Spoken("r1", "i2", bytes(1_600)),
            ResponseEnded("r1", amounts=Amounts(input_tokens=5)),
        )
        await settle()
        assert [(f.reply, f.turn) for f in down(running, ReplyStartedFrame)] == [(1, 1)]
        assert [f.turn for f in down(running, UserTurnFrame)] == [1]
        assert "".join(w.text for f in down(running, OutputAudioFrame) for w in f.words) == "Hi."
        assert model.record.messages()[0] == Message("user", "hello")


async def test_what_was_no_turn_is_forgotten() -> None:
    model = Model(own=True)
    async with rig(model) as running:
        await settle()
        running.push(VADUserStartedSpeakingFrame(), InputAudioFrame(sound(), at_ms=20))
        await settle()
        running.call.log.write(SpeechDiscarded(reason="noise"))
        await settle()
        assert model.stream.told[-1] == ("clear",)


async def test_a_turn_of_text_is_told_and_answered() -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        running.push(UserTurnFrame(1, "hello", "text"))
        await settle()
        assert [told[0] for told in model.stream.told[-2:]] == ["text", "respond"]


async def test_keys_are_a_turn() -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        running.push(InputDTMFFrame("1"), InputDTMFFrame("2"))
        await settle(2_500)
        assert model.stream.of("text") == [("user", "12")]
        assert [(f.text, f.source) for f in down(running, UserTurnFrame)] == [("12", "dtmf")]
        running.push(InputDTMFFrame("5"), InputDTMFFrame("#"))
        await settle()
        assert model.stream.of("text")[-1] == ("user", "5")


# -- turns of the vendor's


async def test_words_that_come_after_the_answer_are_told_all_the_same() -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        running.push(InputAudioFrame(sound(), at_ms=20))
        await settle()
        model.stream.tell(
            SpeechBegan(0),
            SpeechStopped(20),
            TurnTaken("i1"),
            ResponseBegan("r1", ""),
            SpokenText("r1", "Hi."),
            Spoken("r1", "i2", bytes(800)),
        )
        await settle()
        assert [f.text for f in down(running, UserTurnFrame)] == [""]
        model.stream.tell(CallerSaid("i1", "hel", final=False), CallerSaid("i1", "hello", final=True))
        model.stream.tell(ResponseEnded("r1"))
        await settle()
        assert running.result.texts == ["", "Hi.", "hello"]
        assert [event.kind for event in running.events("turn.committed", "turn.transcribed")] == [
            "turn.committed",
            "turn.transcribed",
        ]
        (late,) = running.events("turn.transcribed")
        assert (late.data["turn"], late.personal) == (1, {"text": "hello"})
        assert model.record.messages() == (Message("user", "hello"),)


async def test_a_turn_without_an_answer_is_committed_in_time() -> None:
    model = Model(settings=RealtimeSettings(transcript_ms=700))
    async with rig(model) as running:
        await settle()
        model.stream.tell(TurnTaken("i1"))
        await settle(600)
        assert not down(running, UserTurnFrame)
        await settle(200)
        assert [f.turn for f in down(running, UserTurnFrame)] == [1]


async def test_an_answer_while_the_bot_is_to_be_silent_is_not_heard() -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        running.call.turns.hush("on hold")
        model.stream.tell(TurnTaken("i1"), ResponseBegan("r1", ""), Spoken("r1", "i2", bytes(800)))
        model.stream.tell(ResponseEnded("r1", "cancelled"))
        await settle()
        assert model.stream.of("cancel")
        assert model.stream.of("truncate") == [("i2", 0)]
        assert not down(running, OutputAudioFrame)


async def test_what_was_said_of_a_response_that_is_cancelled_before_it_began() -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        model.stream.tell(TurnTaken("i1"), ResponseBegan("r1", ""))
        await settle()
        running.push(InterruptionRequestFrame("asked"))
        await settle()
        assert model.stream.of("cancel")


# -- tools


async def test_a_result_is_told_always_and_spoken_of_only_if_its_turn_is_current() -> None:
    @tool()
    async def slow(ctx: ToolContext, seconds: int) -> str:
        """Takes its time."""
        await asyncio.sleep(seconds)
        return f"after {seconds} s"

    model = Model(tools=[slow])
    async with rig(model) as running:
        await settle()
        model.stream.tell(
            TurnTaken("i1"),
            ResponseBegan("r1", ""),
            ToolWanted("r1", ToolCall("c1", "slow", {"seconds": 1})),
            ToolWanted("r1", ToolCall("c2", "slow", {"seconds": 3})),
            ResponseEnded("r1"),
        )
        await settle(1_500)
        assert model.stream.of("result") == [("c1", "after 1 s")]
        assert not model.stream.of("respond")  # it waits for both
        await settle(2_000)
        assert len(model.stream.of("respond")) == 1
        tag = model.stream.of("respond")[0][0]
        model.stream.tell(ResponseBegan("r2", tag), ToolWanted("r2", ToolCall("c3", "slow", {"seconds": 2})))
        await settle()
        model.stream.tell(ResponseEnded("r2"), TurnTaken("i2"), ResponseBegan("r3", ""))
        model.stream.tell(SpokenText("r3", "Yes."), Spoken("r3", "i3", bytes(800)), ResponseEnded("r3"))
        await settle(2_500)
        assert model.stream.of("result")[-1] == ("c3", "after 2 s")
        assert len(model.stream.of("respond")) == 1
        assert [f.call_id for f in down(running, ToolResultFrame)] == ["c1", "c2", "c3"]


# -- what others say, and settings


async def test_a_reply_of_the_program_is_spoken_by_the_model() -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        running.push(SayFrame("One."), SayFrame("Two."))
        await settle()
        assert [say for _, say in model.stream.of("respond")] == ["One."]  # one after the other
        tag = model.stream.of("respond")[0][0]
        model.stream.tell(ResponseBegan("r1", tag), SpokenText("r1", "One."), Spoken("r1", "i1", bytes(800)))
        model.stream.tell(ResponseEnded("r1"))
        await settle()
        assert [say for _, say in model.stream.of("respond")] == ["One.", "Two."]
        assert [f.text for f in down(running, TextFrame)] == ["One."]
        assert [f.reply for f in down(running, ReplyEndedFrame)] == [1]


async def test_instructions_may_change_in_a_call() -> None:
    model = Model()
    async with rig(model) as running:
        await settle()
        running.push(UpdateSettingsFrame(model.name, {"instructions": "Be brief.", "response_ms": 9_000}))
        await settle()
        assert model.stream.of("configure")[-1][0].instructions == "Be brief."
        assert model.settings.response_ms == 9_000
        running.push(UpdateSettingsFrame(model.name, {"nothing": 1}))
        await settle()
        assert any(isinstance(error, TypeError) for error in running.result.errors)


# -- connections


async def test_a_vendor_that_refuses_fails_the_call_while_it_rings() -> None:
    refusal = ProviderError.of("provider.auth", vendor="acme", status=401, variable="ACME_API_KEY")
    async with rig(Model(refuses=refusal)) as running:
        reason = await running.call.wait_ended()
        assert reason == "error"
        assert [event.data["code"] for event in running.events("provider.lost")] == ["provider.auth"]


async def test_without_a_key_it_is_not_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACME_API_KEY", raising=False)
    model = Model()
    model._given_key = ""
    async with rig(model) as running:
        assert await running.call.wait_ended() == "error"
        assert not model.streams


async def test_sound_that_was_not_answered_is_sent_once_more_and_no_more_of_it_than_is_kept() -> None:
    model = Model(settings=RealtimeSettings(keep_ms=1_000, lead_ms=200))
    async with rig(model) as running:
        await settle()
        first = model.stream
        running.push(InputAudioFrame(sound(), at_ms=20))
        await settle()
        first.tell(SpeechBegan(0))
        for n in range(100):
            running.push(InputAudioFrame(sound(), at_ms=20 * (n + 2)))
            await asyncio.sleep(0.02)
        first.tell(ConnectionResetError("gone"))
        await settle(1_000)
        assert model.stream is not first
        assert 8 * 960 <= model.stream.sound <= 8 * 1_000
        assert first.told[-1] == ("close",)


# -- sound and record


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "send", "speak", "hush", "turn", "lost"]), st.integers(1, 60)), max_size=60
    )
)
def test_no_sound_is_repeated_on_a_connection_or_after_its_turn(steps: list[tuple[str, int]]) -> None:
    sound = Sound(keep_ms=1_000, lead_ms=300)
    number = 0
    at_ms = 0.0
    sent: list[int] = []
    taken: list[int] = []
    for what, count in steps:
        if what == "add":
            for _ in range(count):
                number += 1
                sound.add(str(number).encode(), at_ms, 20.0)
                at_ms += 20.0
        elif what == "send":
            for piece in sound.waiting():
                assert piece.length_ms == 20.0
                sound.sending(piece)
                sent.append(int(piece.data))
        elif what in ("speak", "hush"):
            sound.speaking = what == "speak"
        elif what == "turn":
            taken += [int(piece.data) for piece in sound.take()]
        else:
            sound.lost()
            sent.clear()
        kept = [int(piece.data) for piece in sound._pieces]
        assert sent == sorted(set(sent))
        assert taken == sorted(set(taken))
        assert not set(taken) & set(kept)
        assert len(kept) * 20 <= 1_000
        assert kept == sorted(set(kept))


def test_the_record_keeps_the_place_of_words_that_come_late() -> None:
    record = Record()
    record.turn("i1")
    record.heard(1, "Hello ")
    record.heard(1, "there.")
    record.called("c", "look", {"x": 1})
    assert [m.role for m in record.messages()] == ["assistant"]
    record.said("i1", "Hi?")
    record.returned("c", "7", failed=False)
    assert [(m.role, m.text) for m in record.messages()] == [
        ("user", "Hi?"),
        ("assistant", "Hello there."),
        ("assistant", ""),
        ("tool", "7"),
    ]
    before, after = record.around("i1")
    assert (len(before), len(after)) == (0, 3)


# -- a whole call


@pytest.mark.real_time
async def test_a_call_is_greeted_interrupted_and_answered() -> None:
    answers = ["This is a rather long answer, and it goes on for quite some time.", "All right."]
    async with FakeOpenAIRealtime(answers) as fake:
        transport = LoopbackTransport()
        call = Call(transport, seed=1, settings=CallSettings(reprompt=""))
        events: list[Any] = []
        call.log.subscribe(events.append)
        model = OpenAIRealtime("Be kind.", greeting="Hi.", place=Place(fake.url + "/v1"), api_key="key")
        await call.start(Pipeline([transport.input(), model, transport.output()]))

        def heard() -> list[str]:
            return [event.personal["text"] for event in events if event.kind == "reply.heard"]

        async def until(ready: Any) -> None:
            async with asyncio.timeout(5):
                while not ready():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

        def says(*words: int) -> None:
            transport.far.play(Audio(speech(words, PCM_8K), PCM_8K).data)

        await until(lambda: heard() == ["Hi."])
        says(1, 2)
        await until(lambda: sum(event.kind == "reply.speaking" for event in events) == 2)
        await asyncio.sleep(0.5)
        says(3)
        await until(lambda: len(heard()) == 3)
        await asyncio.sleep(0.05)
        call.cancel()
        await call.wait_ended()
    assert heard()[2] == "All right."
    assert answers[0].startswith(heard()[1])
    assert 0 < len(heard()[1]) < 30
    outcomes = [event.kind for event in events if event.kind in ("turn.answered", "turn.unanswered")]
    assert outcomes == ["turn.answered", "turn.answered"]
    ((item, end_ms),) = fake.sessions[0].truncated
    assert item
    assert 400 <= end_ms <= 1_500
    texts = [(m.role, m.text) for m in model.record.messages()]
    assert texts == [
        ("assistant", "Hi."),
        ("user", "one two"),
        ("assistant", heard()[1]),
        ("user", "three"),
        ("assistant", "All right."),
    ]
