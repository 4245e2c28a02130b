"""A caller who speaks and listens. It records both sides, so that tests measure what was."""

from __future__ import annotations

import array
import asyncio
import os
import random
from collections.abc import Callable

from ..audio import PCMU_8K, Audio, AudioFormat
from ..errors import TestKitError
from ..transports.loopback import TICK_MS, LineConditions, LoopbackTransport
from .caller import BaseCaller
from .levels import sounds
from .phone import Phone

__all__ = ["AudioCaller", "Voice"]

#: How the caller speaks: from a text to mono s16le at the line's rate.
Voice = Callable[[str], bytes]

#: How long a caller waits for a chance to speak.
_PATIENCE_MS = 60_000
#: How long for a greeting, and for an answer, before going on anyway.
_GREETING_MS = 3_000
_ANSWER_MS = 8_000
#: Sound of the bot this long after the caller's last word is the answer, even if it has never paused.
_HEARD_OUT_MS = 1_000
#: A silence after which sound is a new beginning.
_ONSET_MS = 200
#: A peak over this is sound.
_FLOOR_DBFS = -50.0


class AudioCaller(BaseCaller):
    """A caller over audio, on a line in memory. Made by `dial(bot, via="audio")`.

    voice: from a text to mono s16le at the line's rate (8 kHz); by default eSpeak's.
    noise_dbfs: the level of white noise behind the caller, all the time; None for none.
    line: how bad the line is.
    format: what it carries; by default µ-law at 8 kHz.
    phone: what to speak into, for a line of another kind; then `line` and `format` are that one's.

    Words are heard as the output has sent them. Everything else goes by level: `bot_spoke`, `spoke`, `stops_within()`.
    Times are in the call's milliseconds.
    """

    def __init__(
        self,
        voice: Voice | None = None,
        *,
        noise_dbfs: float | None = None,
        line: LineConditions | None = None,
        format: AudioFormat | None = None,
        seed: int = 0,
        phone: Phone | None = None,
    ) -> None:
        transport: LoopbackTransport | None = None
        if phone is None:
            phone = transport = LoopbackTransport(
                format or PCMU_8K, conditions=line, on_word=self._on_word, on_reply=self._on_reply
            )
        super().__init__(transport)
        self.record.sound = self
        #: What the caller speaks into: the line in memory, or a carrier's telephone.
        self.phone: Phone = phone
        self.format = phone.far.format
        self._pcm = AudioFormat("pcm_s16le", self.format.rate)
        self._voice = voice or _espeak(self.format.rate)
        self._size = 2 * self.format.rate * TICK_MS // 1000
        self._noise = _Noise(noise_dbfs, self.format, seed) if noise_dbfs is not None else None
        phone.far.source = self._next
        phone.far.on_audio = self._on_audio
        self._coughs = random.Random(seed)
        self._speech = bytearray()  # s16le that is still to be spoken
        self._sent: list[bytes] = []
        self._received: list[bytes] = []
        self._utterances: list[tuple[float, float]] = []
        self._sound_ms = -_PATIENCE_MS  # the end of its last sound
        self._onset_ms = -1
        self._floor = round(32768 * 10 ** (_FLOOR_DBFS / 20))
        self._answer_by_ms: int | None = _GREETING_MS  # until when it waits for the bot to begin
        self._spoke_until_ms = -_HEARD_OUT_MS

    @property
    def transport(self) -> Phone:
        """The same as `phone`; on a line in memory that is the bot's transport."""
        return self.phone

    # -- what the line asks for and tells

    def _next(self) -> bytes:
        speech, noise = self._speech, self._noise
        if not speech:
            data = noise.next() if noise is not None else self.phone.far.silence
        else:
            pcm = bytes(speech[: self._size])
            del speech[: self._size]
            pcm += bytes(self._size - len(pcm))
            data = Audio(noise.over(pcm) if noise is not None else pcm, self._pcm).to(self.format)
            self._spoke_until_ms = self._now_ms + TICK_MS
            if not speech:
                self._answer_by_ms = self._spoke_until_ms + _ANSWER_MS
                self._news.set()
        self._sent.append(data)
        return data

    def _on_audio(self, data: bytes) -> None:
        now = self._now_ms
        self._received.append(data)
        if data == self.phone.far.silence:
            return
        values = array.array("h", Audio(data, self.format).pcm(self.format.rate))
        if max(values) <= self._floor and min(values) >= -self._floor:
            return
        onset = now - self._sound_ms > _ONSET_MS
        if onset:
            self._onset_ms = now
            self._news.set()
        self._sound_ms = now + TICK_MS
        if (
            self._answer_by_ms is not None
            and not self._speech
            and (onset or now > self._spoke_until_ms + _HEARD_OUT_MS)
        ):
            self._answer_by_ms = None

    @property
    def _now_ms(self) -> int:
        """Up to where the line has carried sound, in the call's time; while a tick runs, its beginning."""
        return self._began_ms + len(self._received) * TICK_MS

    @property
    def _began_ms(self) -> int:
        """When the first piece was, in the call's time; 0 before."""
        began = self.phone.began_ms
        return 0 if began == -1 else began

    # -- what the caller does

    async def says(self, text: str) -> None:
        """Wait until the bot has finished, then say `text`. Returns when it is said."""
        await self.listens()
        self.interrupts_now(text)
        await self._said()

    async def listens(self, *, pause_ms: int = 500) -> str:
        """Wait until the bot has answered and been silent for `pause_ms`; return what was heard since the caller spoke.

        A caller knows of silence only, so a bot that pauses for that long in the middle of a reply has finished. One
        that does not answer at all is given 8 s.
        """
        async with asyncio.timeout(_PATIENCE_MS / 1000):
            while not self._over:
                due = self._answer_by_ms
                if due is None:
                    due = self._sound_ms + pause_ms
                left = due - self._now_ms
                if self._speech:
                    left = 250
                elif left <= 0:
                    break
                await self._wait(min(left, 250))
        return self._heard

    async def interrupts(self, text: str, *, after_ms: int = 400) -> None:
        """Wait until the bot has been speaking for `after_ms`, then say `text` over it. Returns when it is said."""
        await self._bot_speaks(after_ms)
        self.interrupts_now(text)
        await self._said()

    def interrupts_now(self, text: str) -> None:
        """Begin to say `text`, whether or not the bot is speaking."""
        self._check_running(f"say {text!r}")
        self._forget()
        self._speak(self._voice(text))

    async def plays(self, pcm: bytes) -> None:
        """Let mono s16le at the line's rate be heard from the caller's side. Returns when all of it is sent."""
        self._check_running("play a sound")
        self._speak(pcm)
        await self._said()

    async def plays_file(self, path: str | os.PathLike[str]) -> None:
        """Let an audio file be heard from the caller's side: a WAV of any rate. Returns when all of it is sent.

        Raises `SpeechError` (`tts.clip`) if it cannot be read.
        """
        from ..processors.tts.clips import Clip

        clip = Clip(os.fspath(path), self._pcm)
        pcm = bytearray()
        clip.open()
        try:
            while piece := clip.read():
                pcm += piece
        finally:
            clip.close()
        await self.plays(bytes(pcm))

    async def coughs(self, *, dbfs: float = -18.0, after_ms: int | None = None) -> None:
        """Cough: once or twice, for a third of a second each, without a word; never twice the same.

        after_ms: wait until the bot has been speaking for so long; None coughs at once.
        """
        if after_ms is not None:
            await self._bot_speaks(after_ms)
        from .voices import cough

        await self.plays(cough(self._coughs, self.format.rate, dbfs))

    async def presses(self, digits: str, *, in_band: bool = False) -> None:
        """Press keys: told by the carrier, or (in_band) only to be heard."""
        self._check_running(f"press {digits}")
        if in_band:
            from ..tones import dtmf

            self._speak(dtmf(digits, rate=self.format.rate))
            await self._said()
        else:
            self._forget()
            self.phone.press(digits)
            self._answer_by_ms = self._now_ms + _ANSWER_MS
            await asyncio.sleep(0)

    def _speak(self, pcm: bytes) -> None:
        if not pcm:
            return
        rate = self.format.rate
        began_ms = self._now_ms + len(self._speech) * 500 / rate
        self._utterances += [(began_ms + a, began_ms + b) for a, b in sounds(pcm, rate, floor_dbfs=_FLOOR_DBFS)]
        self._speech += pcm
        self._answer_by_ms = None

    async def _said(self) -> None:
        while self._speech and not self._over:
            await self._wait(250)

    async def _bot_speaks(self, for_ms: int) -> None:
        async with asyncio.timeout(_PATIENCE_MS / 1000):
            while self._now_ms - self._sound_ms > _ONSET_MS:
                self._check_running("interrupt")
                await self._wait(250)
        await asyncio.sleep(max(0, self._onset_ms + for_ms - self._now_ms) / 1000)

    async def stops_within(self, ms: int) -> int:
        """Wait until the bot is silent after the caller began to speak over it. Returns how long that took, in ms.

        Measured from the first sound of the caller's last utterance to the last one of the bot's. Raises `TestKitError`
        (`test.not-silent`), an `AssertionError`, if it takes longer than `ms`.
        """
        began = self._utterances[-1][0] if self._utterances else 0.0
        while not self._over and self._now_ms - self._sound_ms < _ONSET_MS and self._now_ms < began + ms + _ONSET_MS:
            await self._wait(TICK_MS)
        ended = next((end for start, end in self.bot_spoke if start <= began < end), began)
        if ended - began > ms:
            raise TestKitError.of("test.not-silent", within_ms=ms, began_ms=round(began), ended_ms=round(ended))
        return round(ended - began)

    # -- what was

    @property
    def began_ms(self) -> float:
        """When the recording begins, in the call's time."""
        return self._began_ms

    @property
    def bot_spoke(self) -> list[tuple[float, float]]:
        """When the bot was to be heard at this end, by level: (start, end) of each stretch."""
        began = self._began_ms
        return [(began + a, began + b) for a, b in sounds(self.received, self.format.rate, floor_dbfs=_FLOOR_DBFS)]

    @property
    def spoke(self) -> list[tuple[float, float]]:
        """When the caller spoke, by level and without the noise."""
        return list(self._utterances)

    @property
    def sent(self) -> bytes:
        """All that the caller has sent, as mono s16le at the line's rate, from the first tick of the line on."""
        return Audio(b"".join(self._sent), self.format).pcm(self.format.rate)

    @property
    def received(self) -> bytes:
        """All that has come to the caller, aligned with `sent`."""
        return Audio(b"".join(self._received), self.format).pcm(self.format.rate)

    @property
    def recording(self) -> bytes:
        """Both, as interleaved stereo s16le: left what was sent, right what has come."""
        sent, received = self.sent, self.received
        size = max(len(sent), len(received))
        both = array.array("h", bytes(2 * size))
        both[0::2] = array.array("h", sent.ljust(size, b"\0"))
        both[1::2] = array.array("h", received.ljust(size, b"\0"))
        return both.tobytes()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recording as a WAV file."""
        import wave

        with wave.open(os.fspath(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(self.format.rate)
            file.writeframes(self.recording)


class _Noise:
    """White noise without an end: ten seconds of it, over and over."""

    def __init__(self, dbfs: float, format: AudioFormat, seed: int) -> None:
        from ..tones import noise

        pcm = Audio(noise(10_000, dbfs, format.rate, seed), AudioFormat("pcm_s16le", format.rate))
        size = 2 * format.rate * TICK_MS // 1000
        coded, count = pcm.to(format), 10_000 // TICK_MS
        part = len(coded) // count
        self._pcm = [pcm.data[i * size : (i + 1) * size] for i in range(count)]
        self._coded = [coded[i * part : (i + 1) * part] for i in range(count)]
        self._index = 0

    def next(self) -> bytes:
        """The next 20 ms, in the line's format."""
        self._index = (self._index + 1) % len(self._coded)
        return self._coded[self._index]

    def over(self, pcm: bytes) -> bytes:
        """The next 20 ms, over this speech."""
        from ..tones import mix

        self._index = (self._index + 1) % len(self._pcm)
        return mix(pcm, self._pcm[self._index])


def _espeak(rate: int) -> Voice:
    def speak(text: str) -> bytes:
        from ..espeak import synthesize

        speech = synthesize(text)
        return Audio(speech.pcm, AudioFormat("pcm_s16le", speech.rate)).pcm(rate)

    return speak
