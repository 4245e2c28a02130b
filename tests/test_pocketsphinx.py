"""PocketSphinx: what it understands of a telephone line, what it refuses, and that the same sound is the same bits."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest

from voiceframe.audio import PCM_16K, PCMU_8K, Audio, AudioFormat
from voiceframe.errors import RecognitionError
from voiceframe.frames import (
    ExpectFrame,
    Frame,
    InputAudioFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.models import POCKETSPHINX, places
from voiceframe.processors.stt import PocketSphinxSettings, PocketSphinxSTT
from voiceframe.processors.stt import pronunciation as pronouncing
from voiceframe.processors.stt.decoder import Heard, compile_grammar, decode
from voiceframe.processors.stt.pronunciation import pronunciations, read_pronunciations
from voiceframe.testing.run import Rig, rig
from voiceframe.testing.voices import Voice, cough, noisy, speech, telephone
from voiceframe.tones import silence

pytestmark = pytest.mark.skipif(
    not any(place.present for place in places(POCKETSPHINX)),
    reason="needs the recognizer's model: `voiceframe models fetch`",
)


def jsgf(*rules: str) -> str:
    return "#JSGF V1.0; grammar g; public <s> = " + rules[0] + ";" + "".join(rules[1:])


DAYS = jsgf(
    "[on | for] <day> [please] | operator | help | repeat | goodbye",
    "<day> = [next] (monday | tuesday | wednesday | thursday | friday) | today | tomorrow | the <nth> of december;",
    "<nth> = first | second | third | fourth | fifth | sixth | seventh | eighth | ninth | tenth;",
)
YES = jsgf("yes | yes please | that's right | correct | no | nope | no thanks | that's wrong | operator | help")


def line(text: str, voice: Voice | None = None, seed: int = 1, snr_db: float = 30) -> bytes:
    """mu-law at 8 kHz, with a little of the room before and behind."""
    sound = silence(300) + speech(text, voice or Voice("en-us+m3", 155)) + silence(250)
    return telephone(noisy(sound, snr_db, random.Random(seed), speech_dbfs=-22))


def hear(mulaw: bytes, grammar: str, alternatives: int = 0) -> Heard:
    return decode(Audio(mulaw, PCMU_8K).pcm(8_000), 8_000, compile_grammar(grammar, (), "test"), alternatives)


@pytest.mark.parametrize("voice", ["en-us", "en-us+m3", "en-us+m5", "en-us+f5"])
def test_clear_voices_are_understood_on_a_telephone_line(voice: str) -> None:
    texts = ("yes please", "that's right", "no thanks", "operator")
    assert [hear(line(text, Voice(voice, 150)), YES).text for text in texts] == list(texts)
    texts = ("on next monday", "the third of december", "tomorrow", "for friday please")
    heard = [hear(line(text, Voice(voice, 150)), DAYS).text for text in texts]
    assert sum(a == b for a, b in zip(heard, texts, strict=True)) >= 3, heard


def test_words_have_their_times() -> None:
    heard = hear(line("on next monday"), DAYS)
    assert [word.text for word in heard.words] == ["on", "next", "monday"]
    assert 240 <= heard.words[0].start_ms <= 380
    assert all(a.end_ms == b.start_ms for a, b in zip(heard.words, heard.words[1:], strict=False))


def test_the_same_sound_gives_the_same_bits_in_any_order() -> None:
    sounds = [
        (line(text, seed=number), grammar)
        for number, (text, grammar) in enumerate(
            [("yes", YES), ("next tuesday", DAYS), ("no", YES), ("the sixth of december", DAYS), ("help", YES)]
        )
    ]
    first = [hear(*sound, 1) for sound in sounds]
    again = {number: hear(*sounds[number], 1) for number in (3, 1, 4, 0, 2)}
    assert [again[number] for number in range(len(sounds))] == first
    compile_grammar.cache_clear()  # not the networks that have heard them
    assert [hear(*sound, 1) for sound in reversed(sounds)] == first[::-1]


def test_threads_do_not_disturb_each_other() -> None:
    sounds = [(line("yes"), YES), (line("next friday"), DAYS)]
    alone = [hear(*sound) for sound in sounds]
    found: list[Heard] = []
    threads = [
        threading.Thread(target=lambda: found.extend(hear(*sound) for sound in sounds), daemon=True) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, found)) == sorted(map(str, alone * 3))


def test_what_is_not_in_the_grammar_has_less_confidence() -> None:
    inside = [hear(line(text, seed=n), DAYS).confidence for n, text in enumerate(("next monday", "tomorrow", "friday"))]
    outside = [
        hear(line(text, seed=n), DAYS).confidence
        for n, text in enumerate(("where are the car keys", "two large pizzas with mushrooms", "are you a robot"))
    ]
    assert min(inside) > max(outside)


def test_alternatives_are_others_of_the_grammar() -> None:
    heard = hear(line("next tuesday"), DAYS, 3)
    texts = [other.text for other in heard.alternatives]
    machine = compile_grammar(DAYS, (), "test").machine
    assert len(texts) == 3 == len({*texts})
    assert heard.text not in texts
    assert all(machine.accepts(text.split()) for text in texts)
    assert all(0 <= other.confidence <= heard.confidence for other in heard.alternatives)
    only = hear(line("yes"), jsgf("yes"), 3)
    assert (only.text, only.alternatives) == ("yes", ())


@pytest.mark.parametrize("pcm", [b"", bytes(100), bytes(16_000), bytes(64_000)])
def test_no_sound_is_nothing_or_of_no_confidence(pcm: bytes) -> None:
    assert decode(pcm, 8_000, compile_grammar(YES, (), "test")).confidence < 0.25


def test_a_grammar_that_lets_nothing_through_hears_nothing() -> None:
    assert hear(line("yes"), jsgf("<VOID>")) == Heard()


# -- how words sound


def test_names_that_the_dictionary_does_not_have_are_said_by_their_sound() -> None:
    found = pronunciations(["lindqvist", "smith", "priya", "o'clock", "tomato"], {}, "test")
    assert found["smith"] == ("S M IH TH",)
    assert found["priya"] == ("P R IH Y AH",)
    assert found["lindqvist"] == ("L IH N D K V IH S T",)
    assert len(found["tomato"]) == 2
    heard = hear(line("doctor lindqvist"), jsgf("doctor (lindqvist | brown | garcia | lee)"))
    assert heard.text == "doctor lindqvist"


def test_every_word_of_the_dictionary_is_found_in_it() -> None:
    content = pronouncing._dictionary().decode()
    ways: dict[str, list[str]] = {}
    for line in content.splitlines():
        word, _, phones = line.partition(" ")
        ways.setdefault(word.partition("(")[0], []).append(phones.strip())
    words = list(ways)
    for word in (words[0], words[-1], *random.Random(1).sample(words, 3_000)):
        assert pronouncing._listed(word.encode()) == tuple(ways[word][:6]), word
    for word in ("", "zzzzz", "qqq(2)", "!"):
        assert pronouncing._listed(word.encode()) == ()


def test_what_the_settings_say_comes_first() -> None:
    own = read_pronunciations(("nguyen W IH N", "nguyen N UW Y EH N", "Smith S M AY TH"))
    assert own == {"nguyen": ("W IH N", "N UW Y EH N"), "smith": ("S M AY TH",)}
    assert pronunciations(["smith"], own, "test") == {"smith": ("S M AY TH",)}


def test_words_without_a_sound_are_named() -> None:
    with pytest.raises(RecognitionError, match="'12', '---'") as caught:
        pronunciations(["yes", "12", "---"], {}, "Ear")
    assert caught.value.code == "stt.pronunciation"
    for wrong in ("nguyen", "nguyen W IH QQ", ""):
        with pytest.raises(RecognitionError, match=r"stt\.pronunciation"):
            PocketSphinxSTT(PocketSphinxSettings(pronunciations=(wrong,)))


# -- in a call


async def says(call: Rig, mulaw: bytes, format: AudioFormat = PCMU_8K) -> None:
    """The sound in frames of 20 ms, with the verdicts of a VAD that is right."""
    now = call.call.clock.at_ms()
    size = format.bytes_per_second // 50
    count = len(mulaw) // size
    for number in range(count):
        await asyncio.sleep(0.02)
        call.push(InputAudioFrame(Audio(mulaw[number * size : (number + 1) * size], format)))
        if number == 20:
            call.push(VADUserStartedSpeakingFrame(1.0, now + 320))
    call.push(VADUserStoppedSpeakingFrame(call.call.clock.at_ms() - 220))
    await asyncio.sleep(0.5)


def texts(call: Rig) -> list[str]:
    return [frame.text for frame in call.result.down if isinstance(frame, TranscriptionFrame)]


async def test_a_call_is_understood_with_the_grammar_of_the_moment() -> None:
    async with rig(PocketSphinxSTT()) as call:
        call.up(ExpectFrame(jsgf=YES))
        await says(call, line("yes please"))
        call.up(ExpectFrame(jsgf=DAYS))
        await says(call, line("next monday"))
        assert texts(call) == ["yes please", "next monday"]
        frame = next(f for f in call.result.down if isinstance(f, TranscriptionFrame))
        assert frame.confidence >= 0.25
        assert 250 <= frame.words[0].start_ms <= 400
        assert not call.result.errors


async def test_a_wide_line_is_heard_at_its_own_rate() -> None:
    async with rig(PocketSphinxSTT()) as call:
        call.up(ExpectFrame(jsgf=YES))
        sound = silence(400, 16_000) + speech("no thanks", Voice("en-us+m3", 150), 16_000) + silence(300, 16_000)
        await says(call, noisy(sound, 30, random.Random(1), 16_000), PCM_16K)
        assert texts(call) == ["no thanks"]


async def test_coughs_and_other_talk_are_speech_that_was_not_understood() -> None:
    async with rig(PocketSphinxSTT()) as call:
        call.up(ExpectFrame(jsgf=DAYS))
        await says(call, line("I lost my insurance card"))
        rng = random.Random(4)
        await says(call, telephone(noisy(silence(400) + cough(rng) + silence(400), 25, rng)))
        assert texts(call) == ["", ""]
        assert not call.result.errors


async def test_without_a_grammar_it_says_so_and_understands_nothing() -> None:
    async with rig(PocketSphinxSTT()) as call:
        await says(call, line("yes"))
        assert texts(call) == [""]
        assert [getattr(error, "code", "") for error in call.result.errors] == ["stt.no-grammar"]


@pytest.mark.parametrize(
    ("grammar", "code"),
    [("nonsense", "jsgf.syntax"), (jsgf("yes | 12"), "stt.pronunciation"), (jsgf("<gone>"), "jsgf.rule")],
)
async def test_a_grammar_that_cannot_be_used_is_told_when_it_comes(grammar: str, code: str) -> None:
    async with rig(PocketSphinxSTT()) as call:
        call.up(ExpectFrame(jsgf=grammar))
        await asyncio.sleep(0.1)
        assert [getattr(error, "code", "") for error in call.result.errors] == [code]
        await says(call, line("yes"))
        call.up(ExpectFrame(jsgf=YES))
        await says(call, line("yes"))
        assert texts(call) == ["", "yes"]


async def test_a_call_replays_to_the_bit() -> None:
    async def played() -> list[Frame]:
        async with rig(PocketSphinxSTT(PocketSphinxSettings(alternatives=2, sure=1.0))) as call:
            call.up(ExpectFrame(jsgf=DAYS))
            await says(call, line("for thursday please", seed=5, snr_db=20))
            return [frame for frame in call.result.down if not isinstance(frame, InputAudioFrame)]

    assert await played() == await played()
