"""The voice of espeak-ng: on this machine, without a key or a network."""

from __future__ import annotations

import asyncio
import difflib
import math
import threading
from collections.abc import AsyncGenerator, Iterable
from functools import lru_cache
from typing import Final

from ... import espeak
from ...audio import PCMU_8K, Audio, AudioFormat
from ...errors import MissingExtra, SpeechError
from ...frames import Word
from ...settings import setting
from .base import TTS, TTSSettings
from .cache import PromptCache, PromptKey, shared_cache
from .output import choose_format
from .prompt import Prompt
from .sentences import split_sentences
from .stream import Chunk, SentenceStream

__all__ = ["EspeakSettings", "EspeakTTS", "prepare"]

_RAW: Final = AudioFormat("pcm_s16le", espeak.RATE)
#: What a voice is measured with: every vowel, and consonants of all kinds.
_CALIBRATION: Final = (
    "The early bird may catch the worm, but your appointment is on Thursday, the fourteenth of July, at half past two. "
    "Please bring your insurance card, and say yes or no."
)
#: How far a sentence may be from the loudness of its voice: that much is its melody.
_TOLERANCE_LU: Final = 2.0
#: Behind what ends no sentence there is only the pause of a comma.
_SHORT_PAUSE: Final = 2


class EspeakSettings(TTSSettings, prefix="ESPEAK"):
    """How espeak-ng speaks."""

    voice: str = setting(default="en-us", doc="a language or a voice, perhaps with a variant: en-us+f2")
    words_per_minute: int = setting(default=165, doc="how fast", ge=80, le=450)
    pitch: int = setting(default=50, doc="how high, 50 is the voice's own", ge=0, le=100)
    pitch_range: int = setting(default=50, doc="how lively, 50 is the voice's own, 0 is one tone", ge=0, le=100)
    loudness_lufs: float = setting(default=-20.0, doc="loudness by ITU-R BS.1770", ge=-40, le=-14)
    pause_ms: int = setting(default=350, doc="pause between two sentences of a reply", ge=0)


@lru_cache(64)
def _nearest(voice: str) -> str | None:
    """Kept, as the library may be busy with a sentence of another call."""
    try:
        espeak.resolve(voice)
    except MissingExtra:  # of which is told where a voice is opened
        return None
    except SpeechError:
        known = sorted({name for each in espeak.voices() for name in (*each.languages, each.name)})
        return (difflib.get_close_matches(voice.partition("+")[0], known, n=1, cutoff=0.0) or ["en-us"])[0]
    return None


class EspeakTTS(TTS):
    """Speaks with espeak-ng, which the extra `local` brings. It is GPL-3: see `voiceframe.espeak`.

    settings: by default from the environment and the settings file. voice: instead of the one in the settings.
    cache: where sentences are kept; by default the one of the process.

    A sentence is spoken off the event loop, in a few milliseconds, and comes in the very format of the line.
    """

    def __init__(
        self, settings: EspeakSettings | None = None, *, voice: str = "", cache: PromptCache | None = None
    ) -> None:
        settings = settings or EspeakSettings.load()
        super().__init__(settings)
        self.settings: EspeakSettings = settings
        self.voice = voice or settings.voice
        self.cache = shared_cache() if cache is None else cache

    def nearest_voice(self, voice: str) -> str | None:
        return _nearest(voice)

    async def open(self, format: AudioFormat, voice: str, language: str) -> EspeakStream:
        maker = await self.offload(PromptMaker, self.settings, voice, format, self.cache)
        return EspeakStream(self, maker)

    async def prepare(self, texts: Iterable[str]) -> None:
        """Make these texts ready for this call's line, and keep them on disk if the cache has a folder.

        Raises `ProcessorError` before the voice is part of a call; the function `prepare()` needs none.
        """
        format = choose_format(self.produces, self.call.transport.output().accepts)
        maker = await self.offload(PromptMaker, self.settings, self.voice, format, self.cache)
        await self.offload(maker.prepare, list(texts))


class EspeakStream(SentenceStream):
    """One call's stream of sentences."""

    def __init__(self, tts: EspeakTTS, maker: PromptMaker) -> None:
        super().__init__(maker.format)
        self.maker = maker
        self._tts = tts
        self._last: tuple[int, str] = (0, "")  # the reply that was spoken last, and the end of its last sentence

    async def speak(self, reply: int, text: str) -> AsyncGenerator[Chunk, None]:
        bare = text.strip()
        if not bare:
            return
        tts, maker = self._tts, self.maker
        prompt = maker.cached(bare)
        if prompt is None:
            private = bool(tts.call.log.private)
            prompt = await tts.offload(maker.make, bare, private)
            tts.spawn(tts.offload(espeak.make_ready), lasting=True)
        pause = self._pause(reply, bare)
        if pause:
            yield Chunk(reply, pause)
        start = text.index(bare)
        before, behind = text[:start], text[start + len(bare) :]
        last = len(prompt.pieces) - 1
        for index, (audio, words) in enumerate(prompt.pieces):
            if words and before:
                first = words[0]
                words = (Word(before + first.text, first.start_ms, first.end_ms), *words[1:])
                before = ""
            if index == last and words and behind:
                end = words[-1]
                words = (*words[:-1], Word(end.text + behind, end.start_ms, end.end_ms))
            yield Chunk(reply, audio, words)

    def _pause(self, reply: int, text: str) -> bytes:
        (last, ended), self._last = self._last, (reply, text[-1])
        if last != reply:
            return b""
        pause_ms = self.maker.settings.pause_ms
        return self.maker.silence(pause_ms if ended in ".!?…。！？\"'”’)" else pause_ms // _SHORT_PAUSE)


class PromptMaker:
    """Makes the prompts of one voice in one format. Blocks; safe in all threads."""

    def __init__(self, settings: EspeakSettings, voice: str, format: AudioFormat, cache: PromptCache) -> None:
        self.settings = settings
        self.format = format
        self._cache = cache
        self._voice = espeak.resolve(voice)
        self._gain = _gain(
            self._voice,
            settings.words_per_minute,
            settings.pitch,
            settings.pitch_range,
            settings.loudness_lufs,
            format.rate,
        )
        self._key: PromptKey = (
            "espeak-ng",
            espeak.version(),
            self._voice,
            settings.words_per_minute,
            settings.pitch,
            settings.pitch_range,
            settings.loudness_lufs,
            settings.piece_ms,
            str(format),
        )

    def cached(self, text: str) -> Prompt | None:
        """The prompt, if it is in memory."""
        return self._cache.get((*self._key, text))

    def make(self, text: str, private: bool = False, disk: bool = False) -> Prompt:
        """Speak a sentence, unless that was done before; it is kept unless it is `private`, or long."""
        if private or len(text) > self._cache.settings.max_chars:
            return self._speak(text)
        piece_ms = self.settings.piece_ms
        return self._cache.get_or_make((*self._key, text), lambda: self._speak(text), self.format, piece_ms, disk=disk)

    def prepare(self, texts: list[str]) -> None:
        for text in texts:
            for sentence in split_sentences(text):
                if sentence.strip():
                    self.make(sentence.strip(), disk=True)

    def silence(self, ms: int) -> bytes:
        from .clips import encode

        return encode(bytes(2 * (self.format.rate * ms // 1000)), self.format)

    def _speak(self, text: str) -> Prompt:
        from .clips import encode
        from .loudness import loudness_lufs
        from .shaping import shape

        settings = self.settings
        pcm, words = _raw(
            text, self._voice, settings.words_per_minute, settings.pitch, settings.pitch_range, self.format.rate
        )
        gain = self._gain * _correction(loudness_lufs(pcm, self.format.rate), self._gain, settings.loudness_lufs)
        audio = encode(shape(pcm, self.format.rate, gain), self.format)
        return Prompt.of(audio, words, self.format, settings.piece_ms)


def _raw(text: str, voice: str, wpm: int, pitch: int, range_: int, rate: int) -> tuple[bytes, list[Word]]:
    """What espeak-ng says, without silence at its ends, at `rate` Hz."""
    from .shaping import trim

    speech = espeak.synthesize(text, voice, wpm, pitch, pitch_range=range_)
    start, end = trim(speech.pcm, espeak.RATE)
    early_ms, length_ms = start * 1000 // espeak.RATE, (end - start) * 1000 // espeak.RATE
    words = [
        Word(
            word.text,
            min(max(0, word.start_ms - early_ms), length_ms),
            min(max(0, word.end_ms - early_ms), length_ms),
        )
        for word in speech.words
    ]
    return Audio(speech.pcm[2 * start : 2 * end], _RAW).pcm(rate), words


_measuring = threading.Lock()


def _gain(voice: str, wpm: int, pitch: int, range_: int, lufs: float, rate: int) -> float:
    with _measuring:  # by one, for all that ask at once
        return _measured(voice, wpm, pitch, range_, lufs, rate)


@lru_cache(maxsize=256)
def _measured(voice: str, wpm: int, pitch: int, range_: int, lufs: float, rate: int) -> float:
    """By how much the voice is multiplied to have its loudness: in steps of a thousandth, the same on all machines."""
    from .loudness import loudness_lufs

    pcm, _ = _raw(_CALIBRATION, voice, wpm, pitch, range_, rate)
    return math.floor(10 ** ((lufs - loudness_lufs(pcm, rate)) / 20) * 1000) / 1000


def _correction(lufs: float, gain: float, wanted_lufs: float) -> float:
    """What is left to do for a sentence that is far from the loudness of its voice, as single words may be."""
    far = lufs + 20 * math.log10(gain) - wanted_lufs
    if abs(far) <= _TOLERANCE_LU or lufs <= -70:
        return 1.0
    return 10 ** ((math.copysign(_TOLERANCE_LU, far) - far) / 20)


async def prepare(
    texts: Iterable[str],
    *,
    settings: EspeakSettings | None = None,
    voice: str = "",
    format: AudioFormat = PCMU_8K,
    cache: PromptCache | None = None,
) -> None:
    """Make texts ready before the first call: for a line of `format`, and on disk if the cache has a folder."""
    settings = settings or EspeakSettings.load()
    cache = shared_cache() if cache is None else cache

    def work() -> None:
        PromptMaker(settings, voice or settings.voice, format, cache).prepare(list(texts))

    await asyncio.get_running_loop().run_in_executor(None, work)
