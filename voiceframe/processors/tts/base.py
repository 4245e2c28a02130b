"""Text to speech: what all voices have in common."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import Sequence

from ...audio import PCM_16K, Audio, AudioFormat
from ...errors import SpeechError
from ...frames import (
    ClipFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    Word,
)
from ...processor import Processor, handles
from ...settings import Settings, setting
from .clips import Clip, spread
from .sentences import Sentences
from .stream import Chunk, Done, TTSStream
from .words import Placer

__all__ = ["TTS", "TTSSettings"]

#: Text that may wait to be spoken, in characters: an hour of speech.
MOST_CHARS = 60_000


class TTSSettings(Settings, prefix="TTS"):
    """What holds for every voice."""

    silence_ms: int = setting(
        default=5_000, doc="time without sound after which a reply that was to be spoken is given up", ge=100
    )
    piece_ms: int = setting(default=100, doc="length of the pieces in which sound is handed on", ge=20, le=1_000)
    clip_ms: int = setting(default=1_800_000, doc="how much of an audio file is played at most", ge=0)


class _Speech:
    """A reply on its way to the output."""

    __slots__ = ("chars", "done", "failed", "heard_s", "number", "pending", "placer", "sentences")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sentences = Sentences()
        self.placer = Placer()
        self.pending = False  # the stream was given something for which it owes a Done
        self.chars = 0  # how much that is
        self.done = asyncio.Event()
        self.heard_s = 0.0  # when the stream gave the last sound
        self.failed = False


class TTS(Processor):
    """Speaks the replies: text and clips come in, sound with the times of its words goes out.

    A voice is a subclass with `open()`, which gives a stream; all else is done here. Text is cut into sentences, each
    of which is sent as soon as it is certain. `ReplyStartedFrame` goes on at once and `ReplyEndedFrame` behind the
    sound. An interruption drops the dead replies and cancels them in the stream. If the stream fails, or makes no
    sound for `silence_ms`, that is reported, and the replies that it was speaking end where they are.

    The words of a reply, joined, are its text (for each clip, the clip's), if all of it was spoken.

    settings: by default from the environment and the settings file.
    """

    #: The voice and the language that `open()` is given; what they may be is the subclass's affair.
    voice: str = ""
    language: str = ""

    def __init__(self, settings: TTSSettings | None = None) -> None:
        self.settings = settings or TTSSettings.load()
        #: The format of what goes out: the first one of `produces` that the output takes as it is.
        self.format: AudioFormat = PCM_16K
        self._stream: TTSStream | None = None
        self._speeches: dict[int, _Speech] = {}
        self._draining = False  # sound is there, and waits for room

    @abc.abstractmethod
    async def open(self, format: AudioFormat, voice: str, language: str) -> TTSStream:
        """A stream of this voice whose chunks have `format`. Called in `setup()`, and again when a stream has ended."""

    def fullness(self) -> float:
        return sum(speech.chars for speech in self._speeches.values()) / MOST_CHARS

    async def setup(self) -> None:
        self.format = choose_format(self.produces, self.call.transport.output().accepts)
        await self._opened()

    async def cleanup(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    # -- what comes

    @handles(ReplyStartedFrame)
    def on_started(self, frame: ReplyStartedFrame) -> Frame:
        self._find(frame.reply)
        return frame

    @handles(TextFrame)
    async def on_text(self, frame: TextFrame) -> None:
        speech = self._find(frame.reply)
        for sentence in speech.sentences.feed(frame.text):
            await self._say(speech, sentence)

    @handles(ClipFrame)
    async def on_clip(self, frame: ClipFrame) -> None:
        speech = self._find(frame.reply)
        await self._finish(speech)
        try:
            await self._play(speech, frame)
        except SpeechError as error:
            self.fail(error)

    @handles(ReplyEndedFrame)
    async def on_ended(self, frame: ReplyEndedFrame) -> Frame:
        speech = self._find(frame.reply)
        try:
            await self._finish(speech)
        finally:
            self._speeches.pop(frame.reply, None)
        return frame

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        for speech in [speech for speech in self._speeches.values() if not self.alive(speech.number)]:
            del self._speeches[speech.number]
            speech.done.set()
            if speech.pending and self._stream is not None:
                self.spawn(self._cancel(self._stream, speech.number))
        self.drained()

    @handles(EndFrame, on_interrupt="finish")
    async def on_end(self, frame: EndFrame) -> None:
        """Whoever began a reply that has not ended is through by now: it ends here."""
        for speech in list(self._speeches.values()):
            await self._finish(speech)
            if self._speeches.pop(speech.number, None) is not None:
                self.push(ReplyEndedFrame(speech.number))

    def _find(self, reply: int) -> _Speech:
        speech = self._speeches.get(reply)
        if speech is None:
            speech = self._speeches[reply] = _Speech(reply)
        return speech

    # -- to the stream

    async def _opened(self) -> TTSStream:
        stream = self._stream
        if stream is None:
            stream = self._stream = await self.open(self.format, self.voice, self.language)
            self.spawn(self._listen(stream), name=f"{self.name} listens", lasting=True)
        return stream

    async def _say(self, speech: _Speech, text: str) -> None:
        if speech.failed:
            return
        if not speech.pending:
            speech.pending = True
            speech.done.clear()
        speech.placer.given(text)
        speech.chars += len(text)
        try:
            await (await self._opened()).send(speech.number, text)
        except Exception as error:
            self._failed(speech, error)

    async def _finish(self, speech: _Speech) -> None:
        """All that came of the reply so far is spoken, when this returns."""
        rest = speech.sentences.flush()
        if rest:
            await self._say(speech, rest)
        if not speech.pending or speech.failed:
            return
        try:
            await (await self._opened()).flush(speech.number)
        except Exception as error:
            self._failed(speech, error)
            return
        loop = asyncio.get_running_loop()
        limit_s = self.settings.silence_ms / 1000
        speech.heard_s = loop.time()
        while not speech.done.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(speech.heard_s + limit_s):
                    await speech.done.wait()
            if speech.done.is_set():
                break
            if self._draining:  # it is not the voice that we wait for
                speech.heard_s = loop.time()
            elif loop.time() >= speech.heard_s + limit_s - 1e-6:
                silent = SpeechError.of(
                    "tts.silent", processor=self.name, reply=speech.number, waited_ms=self.settings.silence_ms
                )
                self._failed(speech, silent)
                if self._stream is not None:
                    await self._cancel(self._stream, speech.number)
                return

    async def _cancel(self, stream: TTSStream, reply: int) -> None:
        try:
            await stream.cancel(reply)
        except Exception as error:
            await self._lost(stream, error)

    def _failed(self, speech: _Speech, error: Exception) -> None:
        """The rest of this reply is not spoken."""
        speech.failed = True
        speech.pending = False
        speech.chars = 0
        speech.done.set()
        self.fail(error)
        self.drained()

    # -- from the stream

    async def _listen(self, stream: TTSStream) -> None:
        chunks = stream.chunks()
        error: Exception | None = None
        try:
            async for item in chunks:
                speech = self._speeches.get(item.reply)
                if speech is None or speech.failed or not speech.pending:
                    continue
                speech.heard_s = asyncio.get_running_loop().time()
                if isinstance(item, Chunk):
                    await self._speak(speech, item)
                else:
                    self._spoken(speech, item)
        except Exception as caught:
            error = caught
        finally:
            await chunks.aclose()
        await self._lost(stream, error)

    async def _lost(self, stream: TTSStream, error: Exception | None) -> None:
        """The stream has ended, which it should not have done."""
        if self._stream is not stream:
            return
        self._stream = None
        for speech in self._speeches.values():
            if speech.pending:
                ended = SpeechError.of("tts.stream-ended", processor=self.name, reply=speech.number)
                self._failed(speech, error or ended)
                error = None  # told once
        if error is not None:
            self.fail(error)
        with contextlib.suppress(Exception):
            await stream.aclose()

    async def _speak(self, speech: _Speech, chunk: Chunk) -> None:
        words = speech.placer.place(chunk.words, len(chunk.audio) * 1000 / self.format.bytes_per_second)
        before = len(speech.placer.rest)
        self._draining = True
        try:
            await self._hand_on(speech, chunk.audio, words)
        finally:
            self._draining = False
            speech.heard_s = asyncio.get_running_loop().time()
            if before < speech.chars:
                speech.chars = before
                self.drained()

    def _spoken(self, speech: _Speech, done: Done) -> None:
        rest = speech.placer.finish()
        if rest:
            self.push(OutputAudioFrame(Audio(b"", self.format), speech.number, rest))
        speech.pending = False
        speech.chars = 0
        speech.done.set()
        self.drained()

    # -- to the output

    async def _hand_on(self, speech: _Speech, audio: bytes, words: Sequence[Word]) -> None:
        """Push sound in pieces, each with the words that begin in it, as fast as there is room for it."""
        format = self.format
        per_second = format.bytes_per_second
        size = per_second * self.settings.piece_ms // 1000
        size -= size % (per_second // format.rate)
        for start in range(0, max(1, len(audio)), size):
            piece = audio[start : start + size]
            if words:
                begin = start * 1000 // per_second
                last = start + size >= len(audio)
                end = (start + size) * 1000 // per_second
                inside = tuple(
                    word if not begin else Word(word.text, word.start_ms - begin, word.end_ms - begin)
                    for word in words
                    if (begin <= word.start_ms or not start) and (word.start_ms < end or last)
                )
            else:
                inside = ()
            if not self._speaks(speech):
                return
            self.push(OutputAudioFrame(Audio(piece, format), speech.number, inside))
            await self.drain()

    def _speaks(self, speech: _Speech) -> bool:
        return self._speeches.get(speech.number) is speech

    async def _play(self, speech: _Speech, frame: ClipFrame) -> None:
        """Play a file as it is read, with the words of its text spread over it."""
        clip = Clip(frame.path, self.format)
        try:
            await self.offload(clip.open)
            marks = spread(frame.text, clip.duration_ms)
            played_ms = 0.0
            while True:
                audio = await self.offload(clip.read)
                if not audio:
                    break
                length_ms = len(audio) * 1000 / self.format.bytes_per_second
                due = [word for word in marks if word.start_ms < played_ms + length_ms]
                marks = marks[len(due) :]
                at_ms = round(played_ms)
                words = [Word(word.text, word.start_ms - at_ms, word.end_ms - at_ms) for word in due]
                await self._hand_on(speech, audio, words)
                if not self._speaks(speech):
                    return
                played_ms += length_ms
                if played_ms >= self.settings.clip_ms:
                    raise SpeechError.of("tts.clip-long", path=frame.path, limit_ms=self.settings.clip_ms)
            if marks and self._speaks(speech):
                self.push(OutputAudioFrame(Audio(b"", self.format), speech.number, tuple(marks)))
        finally:
            clip.close()


def choose_format(produces: Sequence[AudioFormat], accepts: Sequence[AudioFormat]) -> AudioFormat:
    """What to make: the first format of the output that can be made as it is; else the first that can be made.

    A voice without `produces` makes any of one channel.
    """
    for format in accepts:
        if format in produces or (not produces and format.channels == 1):
            return format
    return produces[0] if produces else PCM_16K
