"""Text to speech: what every voice has in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.audio import PCM_8K, PCM_16K, PCMU_8K, AudioFormat
from voiceframe.clock import run_virtual
from voiceframe.errors import SpeechError
from voiceframe.frames import (
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    Word,
)
from voiceframe.processor import Processor, handles
from voiceframe.processors.tts import TTS, Chunk, Done, SentenceStream, TTSSettings, TTSStream
from voiceframe.processors.tts.output import choose_format
from voiceframe.processors.tts.words import Placer
from voiceframe.testing.run import Result, rig, run


class Hum(SentenceStream):
    """10 ms of sound per character, in chunks of 50 ms."""

    def __init__(self, tts: HumTTS) -> None:
        super().__init__(tts.format)
        self._tts = tts

    async def send(self, reply: int, text: str) -> None:
        if self._tts.opened > 1:
            await asyncio.sleep(self._tts.takes_s)
        self._tts.sent.append((reply, text))
        if text.strip() == self._tts.refuses:
            raise ConnectionError("refused")
        await super().send(reply, text)

    async def cancel(self, reply: int) -> None:
        self._tts.cancelled.append(reply)
        await super().cancel(reply)

    async def aclose(self) -> None:
        self._tts.closed += 1
        await super().aclose()

    async def speak(self, reply: int, text: str) -> AsyncGenerator[Chunk, None]:
        tts = self._tts
        await asyncio.sleep(tts.delay_s)
        if text.strip() == tts.breaks and tts.deaths:
            tts.deaths -= 1
            raise ConnectionError("broken")
        if text.strip() == tts.hangs:
            await asyncio.sleep(3600)
        length = len(text) * 10
        for start in range(0, length, 50):
            size = min(50, length - start) * self.format.bytes_per_second // 1000
            words = (Word(text, 0, length),) if start == 0 and tts.tells else ()
            yield Chunk(reply, bytes(size), words)


class HumTTS(TTS):
    def __init__(
        self,
        *,
        delay_ms: int = 0,
        refuses: str = "-",
        breaks: str = "-",
        deaths: int = 1_000,
        opens_ms: int = 0,
        takes_ms: int = 0,
        hangs: str = "-",
        tells: bool = True,
        settings: TTSSettings | None = None,
    ) -> None:
        super().__init__(settings or TTSSettings())
        self.delay_s = delay_ms / 1000
        self.refuses, self.breaks, self.hangs, self.tells = refuses, breaks, hangs, tells
        self.deaths, self.opens_s, self.takes_s = deaths, opens_ms / 1000, takes_ms / 1000
        self.sent: list[tuple[int, str]] = []
        self.cancelled: list[int] = []
        self.opened = 0
        self.closed = 0

    async def open(self, format: AudioFormat, voice: str, language: str) -> TTSStream:
        self.opened += 1
        if self.opened > 1:
            await asyncio.sleep(self.opens_s)
        return Hum(self)


def reply(number: int, *texts: str) -> list[Frame]:
    return [ReplyStartedFrame(number), *(TextFrame(text, number) for text in texts), ReplyEndedFrame(number)]


def words_of(result: Result, number: int = 1) -> str:
    sounds = [f for f in result.down if isinstance(f, OutputAudioFrame) and f.reply == number]
    return "".join(word.text for sound in sounds for word in sound.words)


def shape(frames: list[Frame]) -> list[str]:
    """The frames by name and reply, sound in a row only once."""
    names = [f"{type(f).__name__.removesuffix('Frame')} {getattr(f, 'reply', '')}".strip() for f in frames]
    return [name for index, name in enumerate(names) if not index or name != names[index - 1]]


async def test_a_reply_becomes_sound_between_its_beginning_and_its_end() -> None:
    tts = HumTTS()
    result = await run(tts, frames=reply(1, "Hello. How are", " you?"))
    assert shape(result.down) == ["ReplyStarted 1", "OutputAudio 1", "ReplyEnded 1"]
    assert words_of(result) == "Hello. How are you?"
    assert tts.sent == [(1, "Hello."), (1, " How are you?")]
    assert sum(f.audio.duration_ms for f in result.down if isinstance(f, OutputAudioFrame)) == 190
    assert tts.closed == 1


async def test_the_first_sentence_goes_out_before_the_reply_ends() -> None:
    tts = HumTTS()
    async with rig(tts) as call:
        call.push(ReplyStartedFrame(1), TextFrame("Hello there. I", 1))
        await asyncio.sleep(0.01)
        assert shape(call.result.down) == ["ReplyStarted 1", "OutputAudio 1"]


async def test_replies_go_out_in_the_order_in_which_they_came() -> None:
    tts = HumTTS(delay_ms=30)
    result = await run(tts, frames=[*reply(1, "One. Two."), *reply(2), *reply(3, "Three.")])
    assert shape(result.down) == [
        "ReplyStarted 1",
        "OutputAudio 1",
        "ReplyEnded 1",
        "ReplyStarted 2",
        "ReplyEnded 2",
        "ReplyStarted 3",
        "OutputAudio 3",
        "ReplyEnded 3",
    ]


async def test_replies_that_overlap_do_not_wait_for_each_other() -> None:
    frames: list[Frame] = [ReplyStartedFrame(1), TextFrame("Let me", 1), *reply(2, "One moment."), ReplyEndedFrame(1)]
    result = await run(HumTTS(), frames=frames)
    assert shape(result.down) == [
        "ReplyStarted 1",
        "ReplyStarted 2",
        "OutputAudio 2",
        "ReplyEnded 2",
        "OutputAudio 1",
        "ReplyEnded 1",
    ]


async def test_a_reply_that_nobody_ends_is_spoken_and_ended_at_the_end_of_the_call() -> None:
    result = await run(HumTTS(), frames=[ReplyStartedFrame(1), TextFrame("And then", 1)])
    assert shape(result.down) == ["ReplyStarted 1", "OutputAudio 1", "ReplyEnded 1"]
    assert words_of(result) == "And then"


async def test_an_interruption_cancels_and_nothing_more_comes_of_the_reply() -> None:
    tts = HumTTS(delay_ms=100)
    async with rig(tts) as call:
        number = call.source.begin_reply()
        call.push(*reply(number, "One. Two. Three."))
        await asyncio.sleep(0.15)
        call.call.interrupt()
        seen = len(call.result.down)
        await asyncio.sleep(1)
        assert tts.cancelled == [number]
        assert call.result.down[seen:] == []
        following = call.source.begin_reply()
        call.push(*reply(following, "Four."))
        await asyncio.sleep(1)
        assert shape(call.result.down[seen:]) == [
            f"ReplyStarted {following}",
            f"OutputAudio {following}",
            f"ReplyEnded {following}",
        ]


async def test_a_reply_that_may_not_be_interrupted_goes_on() -> None:
    tts = HumTTS(delay_ms=100)
    async with rig(tts) as call:
        number = call.source.begin_reply(interruptible=False)
        call.push(*reply(number, "One. Two. Three."))
        await asyncio.sleep(0.15)
        call.call.interrupt()
        await asyncio.sleep(1)
        assert words_of(call.result, number) == "One. Two. Three."
        assert shape(call.result.down)[-1] == f"ReplyEnded {number}"
        assert tts.cancelled == []


async def test_a_voice_that_refuses_ends_the_reply_with_its_error() -> None:
    tts = HumTTS(refuses="Two.")
    result = await run(tts, frames=[*reply(1, "One. Two. Three."), *reply(2, "Four.")])
    assert [str(error) for error in result.errors] == ["refused"]
    assert shape([f for f in result.down if getattr(f, "reply", 0) == 1])[-1] == "ReplyEnded 1"
    assert words_of(result, 2) == "Four."
    assert (1, "Three.") not in tts.sent


async def test_the_rest_of_a_reply_whose_stream_breaks_is_spoken_by_another_one() -> None:
    tts = HumTTS(breaks="Two.", deaths=1)
    result = await run(tts, frames=reply(1, "One. Two. Three."))
    assert [str(error) for error in result.errors] == ["broken"]
    assert words_of(result) == "One. Two. Three."
    assert tts.sent[3:] == [(1, " Two."), (1, " Three.")]
    assert shape(result.down) == ["ReplyStarted 1", "OutputAudio 1", "Error", "OutputAudio 1", "ReplyEnded 1"]
    assert (tts.opened, tts.closed) == (2, 2)


async def test_without_marks_of_words_the_rest_is_what_the_sound_did_not_last_for() -> None:
    tts = HumTTS(breaks="Two.", deaths=1, tells=False)
    result = await run(tts, frames=reply(1, "A first sentence of some length. Two."))
    assert words_of(result) == "A first sentence of some length. Two."
    assert (1, " Two.") in tts.sent[2:]


async def test_what_comes_while_another_stream_is_opened_is_spoken_behind_the_rest() -> None:
    tts = HumTTS(breaks="Two.", deaths=1, opens_ms=500)
    first, second = TextFrame("One. Two. Three. And", 1), TextFrame(" four. Five.", 1)
    result = await run(tts, frames=[ReplyStartedFrame(1), first, 100, second, 600, ReplyEndedFrame(1)])
    assert words_of(result) == "One. Two. Three. And four. Five."
    assert tts.sent[3:] == [(1, " Two."), (1, " Three."), (1, " And four."), (1, " Five.")]
    assert tts.opened == 2


async def test_all_replies_that_a_stream_was_speaking_go_on() -> None:
    tts = HumTTS(breaks="Two.", deaths=1, delay_ms=20)
    frames: list[Frame] = [
        ReplyStartedFrame(1),
        TextFrame("Let me see. Well", 1),
        *reply(2, "Two."),
        ReplyEndedFrame(1),
    ]
    result = await run(tts, frames=frames)
    assert (words_of(result, 1), words_of(result, 2)) == ("Let me see. Well", "Two.")
    assert sorted(f.reply for f in result.down if isinstance(f, ReplyEndedFrame)) == [1, 2]


@pytest.mark.parametrize(("opens_ms", "takes_ms", "given"), [(500, 0, 0), (50, 200, 1)])
async def test_a_reply_that_dies_while_another_stream_is_given_it_is_not_spoken_again(
    opens_ms: int, takes_ms: int, given: int
) -> None:
    tts = HumTTS(breaks="Two.", deaths=1, opens_ms=opens_ms, takes_ms=takes_ms)
    async with rig(tts) as call:
        number = call.source.begin_reply()
        call.push(*reply(number, "One. Two. Three. Four."))
        await asyncio.sleep(0.2)
        call.call.interrupt()
        await asyncio.sleep(1)
        assert len(tts.sent[4:]) == given
        tts.takes_s = 0
        following = call.source.begin_reply()
        call.push(*reply(following, "Four."))
        await asyncio.sleep(0.1)
        assert words_of(call.result, following) == "Four."
        assert tts.opened == 2


async def test_a_reply_is_lost_only_twice_and_the_next_one_is_spoken() -> None:
    tts = HumTTS(breaks="Two.")
    result = await run(tts, frames=[*reply(1, "One. Two. Three."), 100, *reply(2, "Four.")])
    assert [str(error) for error in result.errors] == ["broken", "broken"]
    assert words_of(result, 1) == "One."
    assert words_of(result, 2) == "Four."
    assert tts.opened == 3
    assert tts.closed == 3
    ends = [f.reply for f in result.down if isinstance(f, ReplyEndedFrame)]
    assert ends == [1, 2]


async def test_a_voice_that_cannot_be_opened_again_ends_the_reply() -> None:
    class Once(HumTTS):
        async def open(self, format: AudioFormat, voice: str, language: str) -> TTSStream:
            if self.opened:
                raise ConnectionError("closed for today")
            return await super().open(format, voice, language)

    result = await run(Once(breaks="Two."), frames=reply(1, "One. Two. Three."))
    assert [str(error) for error in result.errors] == ["broken", "closed for today"]
    assert words_of(result) == "One."
    assert shape(result.down)[-1] == "ReplyEnded 1"


async def test_a_voice_that_falls_silent_is_given_up_after_a_while() -> None:
    tts = HumTTS(hangs="Two.", settings=TTSSettings(silence_ms=2_000))
    async with rig(tts) as call:
        call.push(*reply(1, "One. Two."))
        await asyncio.sleep(1.9)
        assert not call.result.errors
        await asyncio.sleep(0.2)
        (error,) = call.result.errors
        assert isinstance(error, SpeechError)
        assert error.code == "tts.silent"
        assert "ReplyEnded 1" in shape(call.result.down)
        assert words_of(call.result) == "One."
        assert tts.cancelled == [1]


async def test_a_stream_that_ends_by_itself_is_an_error() -> None:
    class Ends(Hum):
        async def chunks(self) -> AsyncGenerator[Chunk | Done, None]:
            await asyncio.sleep(0.05)
            for item in list[Chunk]():
                yield item

    class EndsTTS(HumTTS):
        async def open(self, format: AudioFormat, voice: str, language: str) -> TTSStream:
            return Ends(self)

    result = await run(EndsTTS(), frames=[*reply(1, "One.")])
    assert {getattr(error, "code", "") for error in result.errors} == {"tts.stream-ended"}
    assert len(result.errors) == 2  # that of the first stream, and that of the one which took its place
    assert [f.reply for f in result.down if isinstance(f, ReplyEndedFrame)] == [1]


class Full(Processor):
    """A place behind the voice that has room for so much sound, and loses it all when told to."""

    def __init__(self, most_ms: int) -> None:
        self.most_ms = most_ms
        self.has_ms = 0.0

    def fullness(self) -> float:
        return self.has_ms / self.most_ms

    @handles(OutputAudioFrame)
    def on_audio(self, frame: OutputAudioFrame) -> Frame:
        self.has_ms += frame.audio.duration_ms
        return frame

    def empty(self) -> None:
        self.has_ms = 0.0
        self.drained()


async def test_a_voice_makes_no_more_than_there_is_room_for() -> None:
    full = Full(1_000)
    tts = HumTTS(settings=TTSSettings(silence_ms=500))
    async with rig(tts, full) as call:
        call.push(*reply(1, *(["A sentence of some length. "] * 20)))
        await asyncio.sleep(3)  # longer than a voice may be silent: but it is not the voice that is waited for
        assert 500 <= full.has_ms <= 600
        assert tts.fullness() > 0
        for _ in range(30):
            full.empty()
            await asyncio.sleep(0.1)
        assert words_of(call.result) == "A sentence of some length. " * 20
        assert tts.fullness() == 0
        assert not call.result.errors


async def test_a_voice_that_waits_for_room_is_woken_by_an_interruption() -> None:
    full = Full(200)
    async with rig(HumTTS(), full) as call:
        number = call.source.begin_reply()
        call.push(*reply(number, "A long sentence that does not fit in there."))
        await asyncio.sleep(1)
        call.call.interrupt()
        full.empty()
        following = call.source.begin_reply()
        call.push(*reply(following, "Yes."))
        await asyncio.sleep(0.1)
        assert words_of(call.result, following) == "Yes."


async def test_the_end_of_the_call_waits_for_what_is_to_be_said() -> None:
    tts = HumTTS(delay_ms=200)
    result = await run(tts, frames=reply(1, "One. Two. Three."))
    assert words_of(result) == "One. Two. Three."
    assert result.reason == "completed"


async def test_words_of_a_voice_that_tells_of_none_are_placed_by_an_estimate() -> None:
    result = await run(HumTTS(tells=False), frames=reply(1, "One two three four five six seven eight nine ten."))
    sounds = [f for f in result.down if isinstance(f, OutputAudioFrame)]
    assert words_of(result) == "One two three four five six seven eight nine ten."
    assert any(sound.words for sound in sounds[:-1])


@given(st.lists(st.text(alphabet="ab .!?\n1:3🙂é你", max_size=12), max_size=6))
def test_the_words_of_a_reply_joined_are_its_text(texts: list[str]) -> None:
    async def speak() -> Result:
        return await run(HumTTS(), frames=reply(1, *texts))

    assert words_of(run_virtual(speak())) == "".join(texts)


def test_the_format_is_the_first_of_the_line_that_the_voice_can_make() -> None:
    assert choose_format((), (PCMU_8K, PCM_8K)) == PCMU_8K
    assert choose_format((PCM_16K, PCM_8K), (PCMU_8K, PCM_8K)) == PCM_8K
    assert choose_format((PCM_16K,), (PCMU_8K,)) == PCM_16K
    assert choose_format((), (AudioFormat("pcm_s16le", 48_000, 2),)) == PCM_16K
    assert choose_format((), ()) == PCM_16K


# -- words that a voice has in its own way


def place(text: str, *said: str) -> list[str]:
    placer = Placer()
    placer.given(text)
    words = placer.place([Word(word, 0, 0) for word in said], 100)
    return [word.text for word in (*words, *placer.finish())]


@pytest.mark.parametrize(
    ("text", "said", "placed"),
    [
        ("Hello, you!", ("hello", "you"), ["Hello,", " you!"]),
        ("At 10:30 then.", ("at", "ten", "thirty", "then"), ["At", " 10:30 then."]),
        ("Yes — no.", ("Yes", "no"), ["Yes", " — no."]),
        ("  Hello  there ", ("Hello", "there"), ["  Hello", "  there "]),
        ("Never told.", ("something", "else"), ["Never told."]),
        ("One", (), ["One"]),
    ],
)
def test_words_are_laid_onto_the_text(text: str, said: tuple[str, ...], placed: list[str]) -> None:
    assert place(text, *said) == placed


@given(st.text(max_size=60), st.lists(st.text(max_size=10), max_size=8))
def test_whatever_a_voice_says_the_words_joined_are_the_text(text: str, said: list[str]) -> None:
    assert "".join(place(text, *said)) == text


# -- every reply ends once, whatever happens


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["say", "open", "end", "interrupt", "wait", "break"]), st.booleans(), st.integers(1, 300)
        ),
        max_size=12,
    )
)
def test_every_reply_that_came_in_goes_out_once_unless_it_is_dead(steps: list[tuple[str, bool, int]]) -> None:
    async def live() -> None:
        tts = HumTTS(delay_ms=40, breaks="Break.", opens_ms=30)
        came: list[int] = []
        open_: list[int] = []
        async with rig(tts) as call:
            for kind, interruptible, wait_ms in steps:
                if kind in ("say", "open", "break"):
                    number = call.source.begin_reply(interruptible=interruptible)
                    came.append(number)
                    call.push(ReplyStartedFrame(number, None, interruptible), TextFrame("One. Two.", number))
                    if kind == "break":
                        call.push(TextFrame(" Break. More.", number))
                    if kind == "open":
                        open_.append(number)
                    else:
                        call.push(ReplyEndedFrame(number))
                elif kind == "end" and open_:
                    call.push(ReplyEndedFrame(open_.pop(0)))
                elif kind == "interrupt":
                    call.call.interrupt()
                else:
                    await asyncio.sleep(wait_ms / 1000)
            dead = {number for number in came if not tts.alive(number)}
            await call.ends()
            ends = [f.reply for f in call.result.down if isinstance(f, ReplyEndedFrame)]
            assert len(ends) == len(set(ends))
            assert set(came) - dead <= set(ends)
            for number in set(came) - dead:
                sounds = [f for f in call.result.down if getattr(f, "reply", 0) == number]
                assert isinstance(sounds[0], ReplyStartedFrame)
                assert isinstance(sounds[-1], ReplyEndedFrame)

    run_virtual(live())


def test_frames_that_a_voice_takes_are_no_more_than_it_needs() -> None:
    taken = {frame for handler in TTS.table.handlers for frame in handler.types}
    assert {InterruptionFrame, EndFrame, TextFrame} <= taken
    assert OutputAudioFrame not in taken
