"""espeak-ng: the library as a function, and the voice that is made of it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import hashlib
import multiprocessing
import random
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_tts import reply, shape, words_of
from voiceframe import Call, Pipeline, espeak, espeak_library
from voiceframe.audio import PCM_8K, PCM_16K, PCMU_8K, Audio, AudioFormat
from voiceframe.call import Heard
from voiceframe.clock import run_virtual
from voiceframe.errors import SpeechError
from voiceframe.espeak import synthesize
from voiceframe.espeak_library import Library, copies
from voiceframe.frames import Frame, OutputAudioFrame, OutputDTMFFrame, ReplyEndedFrame, ReplyStartedFrame, TextFrame
from voiceframe.processor import Processor, observes
from voiceframe.processors.tts import EspeakSettings, EspeakTTS, PromptCache, PromptCacheSettings
from voiceframe.testing.run import Result, rig, run
from voiceframe.tones import level_dbfs, peak_dbfs
from voiceframe.transports.loopback import LoopbackTransport

VOICES = ["en-us", "en-us+f2", "en-us+whisper", "en-us+klatt2", "en-gb", "de"]
TEXTS = ["Hello, this is the clinic.", "Sssh! Six thick thistle sticks at 10:30.", "Yes."]

#: Prints the hash of what it speaks, in the order of its arguments.
CHILD = """
import hashlib, sys
from voiceframe.espeak import synthesize
for case in sys.argv[1:]:
    voice, _, text = case.partition("|")
    print(hashlib.sha256(synthesize(text, voice).pcm).hexdigest())
"""


def no_cache() -> PromptCache:
    return PromptCache(PromptCacheSettings(memory_mb=0))


def voice(settings: EspeakSettings | None = None, *, voice: str = "", cache: PromptCache | None = None) -> EspeakTTS:
    return EspeakTTS(settings or EspeakSettings(), voice=voice, cache=cache or no_cache())


def sound_of(result: Result, number: int = 1) -> bytes:
    frames = [f for f in result.down if isinstance(f, OutputAudioFrame) and f.reply == number]
    return b"".join(frame.audio.data for frame in frames)


def digest(voice: str, text: str) -> str:
    return hashlib.sha256(synthesize(text, voice).pcm).hexdigest()


# -- the library


def test_a_text_becomes_sound_with_its_words() -> None:
    speech = synthesize("Your appointment is at 10:30.")
    assert speech.rate == 22_050
    assert 1_500 < speech.duration_ms < 3_500
    assert -30 < level_dbfs(speech.pcm) < -10
    assert [word.text for word in speech.words] == ["Your", " appointment", " is", " at", " 10:30."]
    times = [(word.start_ms, word.end_ms) for word in speech.words]
    assert times == sorted(times)
    assert all(start < end for start, end in times)
    assert times[-1][1] == int(speech.duration_ms)


def test_the_words_lie_where_they_are_said() -> None:
    one = synthesize("Yes")
    both = synthesize("Yes, and this goes on for long.")
    assert both.words[0].start_ms < 60
    assert abs(both.words[1].start_ms - one.duration_ms) < 450  # the word itself, and the pause of a comma


def test_the_same_text_has_the_same_bits_in_any_order() -> None:
    cases = [(voice, text) for voice in VOICES for text in TEXTS]
    first = {case: digest(*case) for case in cases}
    shuffled = cases * 3
    random.Random(7).shuffle(shuffled)
    for case in shuffled:
        assert digest(*case) == first[case], case
        if len(case[1]) < 10:  # the next one has its voice set, and may be another voice's
            espeak.make_ready()


def test_the_same_text_has_the_same_bits_in_another_process() -> None:
    cases = [(voice, text) for voice in VOICES for text in TEXTS]
    arguments = [f"{voice}|{text}" for voice, text in reversed(cases)]
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest(*case) for case in reversed(cases)]


def test_several_threads_may_speak_at_once() -> None:
    expected = {text: digest("en-us", text) for text in TEXTS}
    found: list[bool] = []

    def speak(text: str) -> None:
        found.extend(digest("en-us", text) == expected[text] for _ in range(5))

    threads = [threading.Thread(target=speak, args=(text,)) for text in TEXTS * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 30


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_can_speak_and_so_can_its_parent_after_it() -> None:
    expected = digest("en-us", "Yes.")
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        assert pool.apply(digest, ("en-us", "Yes.")) == expected
    assert digest("en-us", "Yes.") == expected


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("en-us", "gmw/en-US"),
        ("EN-US", "gmw/en-US"),
        ("gmw/en-US", "gmw/en-US"),
        ("English (America)", "gmw/en-US"),
        ("en-gb", "gmw/en"),
        ("de+f2", "gmw/de+f2"),
    ],
)
def test_a_voice_has_several_names(name: str, file: str) -> None:
    assert espeak.resolve(name) == file


@pytest.mark.parametrize("name", ["", "xx-nobody", "en-us+nobody", "../../etc/passwd", "en-us+../../x", "+f2"])
def test_a_voice_that_there_is_not_is_an_error(name: str) -> None:
    with pytest.raises(SpeechError) as caught:
        synthesize("Hello", name)
    assert caught.value.code == "tts.voice"


def test_a_library_that_does_not_begin_is_an_error_and_may_begin_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = digest("en-us", "Yes.")
    with monkeypatch.context() as patch:
        patch.setattr(espeak_library, "RATE", 1)
        for _ in range(2):
            with pytest.raises(SpeechError) as caught:
                synthesize("Yes.")
            assert caught.value.code == "tts.engine"
    assert digest("en-us", "Yes.") == expected


def test_a_folder_that_somebody_has_tidied_up_is_made_anew() -> None:
    expected = digest("en-us", "Yes.")
    folder = copies()
    assert list(folder.iterdir())
    shutil.rmtree(folder)
    synthesize("Yes.", "de")
    assert digest("en-us", "Yes.") == expected
    assert list(copies().iterdir())


def test_without_a_folder_it_speaks_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [digest(voice, "Yes.") for voice in ("en-us", "en-us+f2", "pt-br")]
    monkeypatch.setattr(Library, "_copy_of", lambda self, name: "")
    synthesize("Yes.", "de")
    assert [digest(voice, "Yes.") for voice in ("en-us", "en-us+f2", "pt-br")] == expected


def test_no_folder_is_left_behind(tmp_path: Path) -> None:
    code = f"""
import os, tempfile
tempfile.tempdir = {str(tmp_path).lower()!r}
from voiceframe.espeak import synthesize
from voiceframe.espeak_library import copies
synthesize("Yes.")
assert copies().exists()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert list(tmp_path.iterdir()) == []


def test_it_is_told_when_the_library_cannot_be_unloaded() -> None:
    code = """
import ctypes, espeakng_loader
ctypes.CDLL(espeakng_loader.get_library_path())
from voiceframe.espeak import synthesize
for _ in range(3):
    assert synthesize("Yes.").pcm
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("is used by another part of this program") == 1
    assert (
        "another part"
        not in subprocess.run(
            [sys.executable, "-c", CHILD, "en-us|Yes.", "en-us|No."], capture_output=True, text=True, check=True
        ).stderr
    )


def test_every_voice_and_every_variant_fits_into_the_library() -> None:
    longest = max(espeak.voices(), key=lambda voice: len(voice.identifier))
    assert espeak.resolve(f"{longest.identifier}+RicishayMax3")


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="only glibc tells how much memory is in use",
)
def test_a_change_of_voice_loses_no_memory() -> None:
    class Memory(ctypes.Structure):
        _fields_ = [
            (name, ctypes.c_size_t)
            for name in ("arena", "chunks", "fast", "maps", "mapped", "most", "fast_free", "used", "free", "keepcost")
        ]

    c = ctypes.CDLL(None)
    c.mallinfo2.restype = Memory

    def used() -> int:
        gc.collect()
        memory = c.mallinfo2()
        return int(memory.used + memory.mapped)

    def speak(times: int) -> None:
        for _ in range(times):
            for voice in ("en-us", "en-gb"):
                synthesize("Yes.", voice)
                espeak.make_ready()  # sets the voice that has spoken, and then another one speaks

    speak(20)
    before = used()
    speak(150)
    assert used() - before < 100_000  # 400,000 if each voice that was set and did not speak is lost


def test_speed_and_pitch_change_the_speech() -> None:
    text = "One two three four five."
    plain = synthesize(text)
    assert synthesize(text, rate_wpm=300).duration_ms < plain.duration_ms * 0.8
    assert synthesize(text, pitch=90).pcm != plain.pcm
    assert level_dbfs(synthesize(text, volume=40).pcm) < level_dbfs(plain.pcm) - 3


@pytest.mark.parametrize("text", ["", " ", "\x00", "\n\n"])
def test_nothing_to_say_gives_no_sound(text: str) -> None:
    speech = synthesize(text)
    assert level_dbfs(speech.pcm) == -120
    assert "".join(word.text for word in speech.words) == text


def test_what_stands_in_a_text_is_no_command() -> None:
    # Control-A begins a command of espeak-ng, angle brackets are SSML, and a zero would end the text.
    assert synthesize("Hello \x0150P there").pcm == synthesize("Hello  50P there").pcm
    assert synthesize("One\x00two").duration_ms > synthesize("One").duration_ms * 1.5
    assert synthesize("<break time='5s'/>Hi").duration_ms < 5_000
    assert synthesize("\ud800 Hi").duration_ms > 100


TEXT = st.text(
    alphabet=st.one_of(
        st.sampled_from("ab c.,!?1 0:\n\t-–—'\"()[]<>&;é你ж🙂👍🏽\u200b\u0301 "),
        st.characters(max_codepoint=0x2FFF),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(TEXT)
def test_the_words_of_any_text_joined_are_the_text(text: str) -> None:
    speech = synthesize(text)
    assert "".join(word.text for word in speech.words) == text
    times = [time for word in speech.words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert not times or 0 <= times[0] <= times[-1] <= speech.duration_ms


def test_the_library_is_not_loaded_by_an_import() -> None:
    code = """
import sys
import voiceframe.espeak, voiceframe.processors.tts
heavy = {"numpy", "espeakng_loader", "av", "audioop"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# -- the voice


class Seen(Processor):
    """The sound that passes by."""

    def __init__(self) -> None:
        self.frames: list[OutputAudioFrame] = []

    @observes(OutputAudioFrame)
    def on_audio(self, frame: OutputAudioFrame) -> None:
        self.frames.append(frame)


@contextlib.asynccontextmanager
async def on_the_line(format: AudioFormat, *processors: Processor) -> AsyncIterator[tuple[Call, bytearray]]:
    """A call over a line of `format`, and what comes out at its far end."""
    transport = LoopbackTransport(format)
    came = bytearray()
    transport.far.on_audio = came.extend
    call = Call(transport)
    await call.start(Pipeline([transport.input(), *processors, transport.output()]))
    await asyncio.sleep(0)
    yield call, came
    call.cancel()
    await call.wait_ended()


async def test_a_reply_is_spoken_with_all_its_words() -> None:
    text = "Hello there!  It is 10:30 a.m. now… What would you like?  "
    result = await run(voice(), frames=reply(1, text[:9], text[9:30], text[30:]))
    assert shape(result.down) == ["ReplyStarted 1", "OutputAudio 1", "ReplyEnded 1"]
    assert words_of(result) == text
    assert not result.errors
    assert -26 < level_dbfs(sound_of(result)) < -16


@settings(max_examples=15)
@given(st.lists(TEXT, max_size=3))
def test_the_words_of_a_spoken_reply_joined_are_its_text(texts: list[str]) -> None:
    async def speak() -> Result:
        return await run(voice(), frames=reply(1, *texts))

    result = run_virtual(speak())
    assert words_of(result) == "".join(texts)
    assert not result.errors


async def test_sound_comes_in_the_format_of_the_line() -> None:
    for format in (PCMU_8K, PCM_8K, PCM_16K, AudioFormat("alaw", 8_000), AudioFormat("pcm_s16be", 24_000)):
        tts = voice()
        seen = Seen()
        async with on_the_line(format, tts, seen) as (call, _):
            assert await call.say("Good morning.") == Heard("Good morning.", True)
        assert {frame.audio.format for frame in seen.frames} == {format}
        assert 600 < sum(frame.audio.duration_ms for frame in seen.frames) < 1_300
        sound = b"".join(frame.audio.data for frame in seen.frames)
        assert -26 < level_dbfs(Audio(sound, format).pcm(format.rate)) < -16


async def test_the_first_piece_leaves_before_the_reply_is_complete_and_pieces_are_short() -> None:
    async with rig(voice()) as call:
        call.push(ReplyStartedFrame(1), TextFrame("This is the first sentence. And", 1))
        await asyncio.sleep(0.001)
        sounds = [f for f in call.result.down if isinstance(f, OutputAudioFrame)]
        assert sounds
        assert max(f.audio.duration_ms for f in sounds) <= 100


async def test_there_is_a_pause_between_sentences_but_none_at_the_ends() -> None:
    long = await run(voice(EspeakSettings(pause_ms=800)), frames=reply(1, "One. Two."))
    none = await run(voice(EspeakSettings(pause_ms=0)), frames=reply(1, "One. Two."))
    assert len(sound_of(long)) - len(sound_of(none)) == 2 * 16 * 800
    for result in (long, none):
        sound = sound_of(result)
        assert level_dbfs(sound[: 2 * 16 * 60]) > -60
        assert level_dbfs(sound[-2 * 16 * 60 :]) > -60


async def test_pieces_of_speech_begin_and_end_without_a_click() -> None:
    for name in VOICES:
        result = await run(voice(EspeakSettings(pause_ms=200), voice=name), frames=reply(1, "Your turn. Peter? Up!"))
        sound = sound_of(result)
        samples = [int.from_bytes(sound[i : i + 2], "little", signed=True) for i in range(0, len(sound), 2)]
        quiet = [0, len(samples) - 1]
        pause = "0" * 3_200
        silent = "".join("0" if sample == 0 else "1" for sample in samples)
        for start in (found.start() for found in re.finditer(pause, silent)):  # what is heard around the pauses
            quiet += [start - 1, start + 3_200]
        assert len(quiet) == 6
        assert all(abs(samples[index]) <= 33 for index in quiet)  # -60 dBFS
        assert peak_dbfs(sound) < -0.1


async def test_the_same_reply_has_the_same_bits_whatever_was_said_before() -> None:
    alone = await run(voice(), frames=reply(1, "See you on Thursday."))
    later = await run(voice(), frames=[*reply(1, "Something else! Whatever?"), *reply(2, "See you on Thursday.")])
    assert sound_of(later, 2) == sound_of(alone)


async def test_an_interruption_ends_the_reply_at_once() -> None:
    async with rig(voice()) as call:
        number = call.source.begin_reply()
        call.push(ReplyStartedFrame(number), TextFrame("One. Two. Three. Four", number))
        call.call.interrupt()
        call.push(ReplyEndedFrame(number))
        await asyncio.sleep(1)
        after: list[Frame] = [f for f in call.result.down if getattr(f, "reply", 0) == number]
        assert shape(after) in ([], [f"ReplyStarted {number}"])


async def test_a_voice_that_there_is_not_ends_the_call_with_a_sentence() -> None:
    result = await run(voice(voice="en-us+nobody"), frames=reply(1, "Hello."))
    (failed,) = [event for event in result.events if event.kind == "processor.failed"]
    assert failed.data is not None
    assert failed.personal is not None
    assert failed.data["fatal"]
    assert failed.data["code"] == "processor.setup-failed"
    assert "en-us+nobody" in failed.personal["message"]


async def test_on_a_line_what_was_heard_is_the_text_and_an_interruption_cuts_it_at_a_word() -> None:
    async with on_the_line(PCMU_8K, voice()) as (call, came):
        text = "Your appointment is at 10:30.  Please bring your card!"
        assert await call.say(text) == Heard(text, True)
        assert -26 < level_dbfs(Audio(bytes(came), PCMU_8K).pcm(8_000)) < -16
        cut = call.say("One two three four five six seven eight nine ten.")
        await asyncio.sleep(1.2)
        call.interrupt()
        heard = await cut
        assert not heard.complete
        assert heard.text.startswith("One two")
        assert "One two three four five six seven eight nine ten.".startswith(heard.text)


async def test_a_reply_is_heard_within_two_ticks() -> None:
    async with on_the_line(PCMU_8K, voice()) as (call, came):
        await asyncio.sleep(1)
        before = len(came)
        reply = call.say("Yes.")
        await asyncio.sleep(0.06)
        assert level_dbfs(Audio(bytes(came[before:]), PCMU_8K).pcm(8_000)) > -60
        await reply


async def test_keys_of_the_bot_come_behind_what_it_said_before() -> None:
    frames: list[Frame] = [*reply(1, "One. Two."), OutputDTMFFrame("1")]
    result = await run(voice(), frames=frames)
    assert shape(result.down) == ["ReplyStarted 1", "OutputAudio 1", "ReplyEnded 1", "OutputDTMF"]


def test_on_the_clock_of_the_wall_it_speaks_in_threads() -> None:
    async def speak() -> list[Heard]:
        loop_threads = {threading.get_ident()}

        calls: list[Heard] = []
        seen = [Seen() for _ in range(3)]
        spoken_in: set[int] = set()
        original = espeak.synthesize

        def noting(*arguments: Any, **more: Any) -> espeak.Speech:
            spoken_in.add(threading.get_ident())
            return original(*arguments, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(espeak, "synthesize", noting)
            async with contextlib.AsyncExitStack() as stack:
                lines = [await stack.enter_async_context(on_the_line(PCMU_8K, voice(), look)) for look in seen]
                calls += await asyncio.gather(*(call.say("Yes.") for call, _ in lines))
        assert spoken_in
        assert not spoken_in & loop_threads
        assert len({b"".join(frame.audio.data for frame in look.frames) for look in seen}) == 1
        return calls

    assert asyncio.run(speak()) == [Heard("Yes.", True)] * 3
