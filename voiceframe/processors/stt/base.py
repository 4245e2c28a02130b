"""Speech to text: what all recognizers have in common."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections import deque
from importlib import import_module
from typing import Any, ClassVar, Literal, TypeAlias
from typing import Final as Constant

from ...audio import PCM_16K, Audio, AudioFormat
from ...errors import RecognitionError
from ...events import SpeechCorrected
from ...frames import (
    Alternative,
    EndFrame,
    ExpectFrame,
    InputAudioFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
    Word,
)
from ...processor import Processor, handles, observes
from ...provider import choose
from ...settings import Settings, setting
from .stream import EagerEnd, Interim, Restart, Resumed, STTResult, STTStream, TurnEnd, TurnStart

__all__ = ["STT", "STTSettings"]


class STTSettings(Settings, prefix="STT"):
    """What holds for every recognizer."""

    provider: str = setting(
        default="pocketsphinx", doc="the recognizer that `STT.by_name()` makes when it is given no name"
    )
    lead_ms: int = setting(default=300, doc="audio before the beginning of speech that the recognizer gets", ge=0)
    keep_ms: int = setting(
        default=1_500, doc="audio that is kept while nobody speaks: `lead_ms`, and what the VAD takes to notice", ge=100
    )
    longest_ms: int = setting(default=30_000, doc="length of speech that is recognized as one piece", ge=1_000)
    result_ms: int = setting(default=3_000, doc="time from the end of speech after which no result is none", ge=50)
    # -- recognizers that are asked over the network
    replay_ms: int = setting(
        default=5_000, doc="audio without a final result that is sent again on a new connection", ge=0, le=30_000
    )
    connect_ms: int = setting(default=5_000, doc="time in which a connection must be made", ge=100)
    warm_ms: int = setting(default=1_000, doc="time that a call waits for the first connection before it goes on", ge=0)
    silent_ms: int = setting(
        default=1_500, doc="time without a word of a vendor that owes a result after which it is connected anew", ge=50
    )
    ping_ms: int = setting(
        default=2_000, doc="how often a connection is tried by a ping, and how long that may take", ge=50
    )
    usd_per_hour: float | None = setting(
        default=None, doc="what an hour of audio costs, in place of the prices that are known; for the events", ge=0
    )


class _Segment:
    """A stretch of speech between two verdicts of the VAD."""

    __slots__ = (
        "alternatives",
        "asked_s",
        "confidence",
        "expect",
        "fed_ms",
        "language",
        "lost",
        "origin_ms",
        "over",
        "parts",
        "timer",
        "words",
    )

    def __init__(self, expect: ExpectFrame | None) -> None:
        self.expect = expect
        self.origin_ms: float | None = None  # media time of the first sample that was sent
        self.fed_ms = 0.0
        self.over = False
        self.asked_s = 0.0  # when its result was asked for, in the time of the loop
        self.lost = False  # the stream failed in the middle of it
        self.parts: list[str] = []
        self.words: list[Word] = []
        self.confidence = 1.0
        self.alternatives: tuple[Alternative, ...] = ()
        self.language = ""  # that was heard, if the recognizer has said
        self.timer: asyncio.TimerHandle | None = None

    def clear(self) -> None:
        """Nothing of it was recognized."""
        self.parts.clear()
        self.words.clear()
        self.confidence = 1.0
        self.alternatives = ()
        self.language = ""


#: Where the recognizers are that can be chosen by name.
_BY_NAME: Constant = {
    "cartesia": ".cartesia:CartesiaSTT",
    "cartesia-turns": ".cartesia:CartesiaTurnsSTT",
    "deepgram": ".deepgram:DeepgramSTT",
    "deepgram-flux": ".deepgram:DeepgramFluxSTT",
    "elevenlabs": ".elevenlabs:ElevenLabsSTT",
    "openai": ".openai:OpenAISTT",
    "pocketsphinx": ".pocketsphinx:PocketSphinxSTT",
}

_What: TypeAlias = Literal["expect", "begin", "send", "finalize"]
_Work: TypeAlias = tuple[_What, "ExpectFrame | _Segment | Audio"]


class STT(Processor):
    """Recognizes what the caller says: a `TranscriptionFrame` for each stretch of speech that the VAD has found.

    A recognizer is a subclass with `open()`, which gives a stream; all else is done here. It stands behind a VAD. Audio
    goes on at once and untouched. The recognizer hears speech from `lead_ms` before it began up to the VAD's verdict
    that it is over, which comes behind some silence; it is then asked for its result.

    Each `VADUserStoppedSpeakingFrame` is followed by exactly one `TranscriptionFrame`, in their order. Its text is ""
    when nothing was recognized, when the recognizer has failed, which is reported, and when it has been silent for
    `result_ms`. Speech that is longer than `longest_ms` is recognized up to there.

    settings: by default from the environment and the settings file.
    """

    #: What the stream is sent: `"speech"` only, or `"always"` all audio of the call, for a recognizer that listens for
    #: itself and is only told when the VAD thinks that speech is over.
    fed: ClassVar[Literal["speech", "always"]] = "speech"
    #: Whether it tells by itself when turns begin and end.
    hears_turns: ClassVar[bool] = False
    #: The language that `open()` is given, and that the transcriptions carry.
    language: str = "en-US"

    def __init__(self, settings: STTSettings | None = None) -> None:
        self.settings = settings or STTSettings.load()
        #: The format in which the stream gets its audio: the one of the line if it is accepted, or of the same rate.
        self.format: AudioFormat = PCM_16K
        self._stream: STTStream | None = None
        self._recent: deque[tuple[Audio, float]] = deque()  # with the media time of its end
        self._recent_ms = 0.0
        self._expect: ExpectFrame | None = None
        self._segment: _Segment | None = None  # in which the caller speaks now
        self._waiting: deque[_Segment] = deque()  # without a result, the present one included
        self._spoken_ms = 0.0  # media time up to which the last segment went
        self._sent_ms = 0.0  # length of all that the stream was sent
        self._work: deque[_Work] = deque()
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._worker: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None

    @staticmethod
    def by_name(name: str = "", **arguments: Any) -> STT:
        """The recognizer of this name, made with these arguments; by default the one of the settings.

        Raises `ProviderError` (`provider.unknown`) for a name that there is not.
        """
        found = choose("recognizer", name or STTSettings.load().provider, _BY_NAME, by="STT.by_name(...)")
        module, _, cls = found.partition(":")
        made: STT = getattr(import_module(module, __package__), cls)(**arguments)
        return made

    async def prepare(self, expect: ExpectFrame) -> None:
        """The dialog expects something else from the next segment on: time to compile a grammar."""

    @abc.abstractmethod
    async def open(self, format: AudioFormat, language: str) -> STTStream:
        """A stream that takes audio of `format`. Called for the first audio, and again when a stream has ended."""

    # -- what comes

    @observes(ExpectFrame, upstream=True)
    def on_expect(self, frame: ExpectFrame) -> None:
        self._expect = frame
        self._put("expect", frame)

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        audio = frame.audio
        segment = self._segment
        if segment is not None:
            self._feed(segment, audio, frame.at_ms)
            return
        if self.fed == "always":
            self._put("send", audio)
        length_ms = audio.duration_ms
        self._recent.append((audio, frame.at_ms))
        self._recent_ms += length_ms
        while self._recent_ms - length_ms > self.settings.keep_ms:
            self._recent_ms -= self._recent.popleft()[0].duration_ms

    @observes(VADUserStartedSpeakingFrame)
    def on_started(self, frame: VADUserStartedSpeakingFrame) -> None:
        if self._segment is not None:
            self._finish(self._segment)
        self._segment = segment = _Segment(self._expect)
        self._waiting.append(segment)
        self._idle.clear()
        self._put("begin", segment)
        began_ms = frame.began_ms if frame.began_ms >= 0 else frame.at_ms
        first_ms = max(began_ms - self.settings.lead_ms, self._spoken_ms)
        recent, self._recent, self._recent_ms = self._recent, deque(), 0.0
        if self.fed == "speech":
            for audio, ended_ms in recent:
                if ended_ms > first_ms:
                    self._feed(segment, audio, ended_ms)

    @observes(VADUserStoppedSpeakingFrame)
    def on_stopped(self, frame: VADUserStoppedSpeakingFrame) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        # Audio behind the end of this speech may belong to the beginning of the next.
        self._spoken_ms = float(frame.ended_ms if frame.ended_ms >= 0 else frame.at_ms)
        self._finish(segment)

    @handles(EndFrame, on_interrupt="finish")
    async def on_end(self, frame: EndFrame) -> None:
        """What was said before the end is still recognized."""
        segment, self._segment = self._segment, None
        if segment is not None:
            self._finish(segment)
        await self._idle.wait()

    def _feed(self, segment: _Segment, audio: Audio, ended_ms: float) -> None:
        length_ms = audio.duration_ms
        if segment.origin_ms is None:
            segment.origin_ms = ended_ms - length_ms
        if segment.fed_ms < self.settings.longest_ms or self.fed == "always":
            segment.fed_ms += length_ms
            self._put("send", audio)

    def _finish(self, segment: _Segment) -> None:
        segment.over = True
        self._put("finalize", segment)
        loop = asyncio.get_running_loop()
        segment.asked_s = loop.time()
        segment.timer = loop.call_later(self.settings.result_ms / 1000, self._late, segment)

    def _late(self, segment: _Segment) -> None:
        self.fail(RecognitionError.of("stt.late", processor=self.name, waited_ms=self.settings.result_ms))
        self._give_up()

    # -- what goes to the stream

    def _put(self, what: _What, which: ExpectFrame | _Segment | Audio) -> None:
        self._work.append((what, which))
        self._work_on()
        self._more.set()

    def _work_on(self) -> None:
        if self._worker is None:
            self._worker = self.spawn(self._run(), name="stt", lasting=True)

    async def _run(self) -> None:
        while True:
            while not self._work:
                self._more.clear()
                await self._more.wait()
            what, which = self._work.popleft()
            try:
                await self._do(what, which)
            except Exception as error:
                self._lost(error)

    async def _do(self, what: _What, which: ExpectFrame | _Segment | Audio) -> None:
        if isinstance(which, ExpectFrame):
            try:
                await self.prepare(which)
            except Exception as error:
                self.fail(error)  # of what is to come; the stream is none the worse for it
        elif isinstance(which, _Segment):
            if which.lost and what == "finalize" and which in self._waiting:
                self._waiting.remove(which)
                self._tell(which)
            if which.lost or which not in self._waiting:
                return
            stream = await self._opened(None)
            if what == "begin":
                await stream.begin(which.expect)
            else:
                await stream.finalize()
        elif self.fed == "always" or any(not segment.lost for segment in self._waiting):
            stream = await self._opened(which)
            await stream.send(which.to(self.format))
            self._sent_ms += which.duration_ms

    async def _opened(self, audio: Audio | None) -> STTStream:
        if self._stream is None:
            line = audio or self._first_audio()
            self.format = choose_format(self.accepts, line.format if line else PCM_16K)
            self._sent_ms = 0.0
            self._stream = await self._started()
            self._reader = self.spawn(self._read(self._stream), name="stt-results", lasting=True)
        return self._stream

    async def _started(self) -> STTStream:
        return await self.open(self.format, self.language)

    def _first_audio(self) -> Audio | None:
        return next((which for _, which in self._work if isinstance(which, Audio)), None)

    # -- what comes from it

    async def _read(self, stream: STTStream) -> None:
        try:
            async with contextlib.aclosing(stream.results()) as results:
                async for result in results:
                    if stream is not self._stream:
                        return
                    self._take(result)
            raise RecognitionError.of("stt.ended", processor=self.name)
        except Exception as error:
            if stream is self._stream:
                self._lost(error)

    def _take(self, result: STTResult) -> None:
        if isinstance(result, TurnStart | EagerEnd | Resumed | TurnEnd):
            self._turned(result)
            return
        if not self._waiting:
            # A recognizer that listens for itself may hear words where the VAD has heard none.
            return
        segment = self._waiting[0]
        if isinstance(result, Restart):
            segment.clear()
            return
        if isinstance(result, Interim):
            text = " ".join([*segment.parts, result.text]) if result.text else ""
            if text:
                self.push(InterimTranscriptionFrame(self._corrected(text), self.language, result.confidence))
            return
        if result.text:
            segment.parts.append(result.text)
            segment.confidence = min(segment.confidence, result.confidence)
            origin = round((segment.origin_ms or 0.0) if self.fed == "speech" else self._now_ms() - self._sent_ms)
            segment.language = result.language or segment.language
            segment.words += [Word(w.text, w.start_ms + origin, w.end_ms + origin) for w in result.words]
        segment.alternatives = result.alternatives if len(segment.parts) <= 1 else ()
        if result.last and segment.over:
            self._answered(segment)
            self._tell(self._waiting.popleft())

    def _turned(self, result: TurnStart | EagerEnd | Resumed | TurnEnd) -> None:
        """The recognizer has an opinion about the caller's turn."""

    def _answered(self, segment: _Segment) -> None:
        """The recognizer has given its result."""

    def _corrected(self, text: str) -> str:
        return text

    def _now_ms(self) -> float:
        return self.call.clock.at_ms()

    def _tell(self, segment: _Segment) -> None:
        if segment.timer is not None:
            segment.timer.cancel()
        heard = " ".join(segment.parts)
        text = self._corrected(heard)
        if text != heard:
            self.emit(SpeechCorrected(text=text, heard=heard))
        self.push(
            TranscriptionFrame(
                text,
                segment.language or self.language,
                segment.confidence if text else 0.0,
                words=tuple(segment.words),
                alternatives=segment.alternatives,
                heard=heard if heard != text else "",
            )
        )
        if not self._waiting:
            self._idle.set()

    # -- when it fails

    def _lost(self, error: Exception) -> None:
        """The stream is no more: what waits for a result has none, and the next segment opens another stream."""
        self.fail(error)
        self._give_up()

    def _give_up(self) -> None:
        stream, self._stream = self._stream, None
        reader, self._reader = self._reader, None
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()
        if stream is not None:
            self.spawn(_closed(stream), name="stt-close")
        worker = self._worker
        if worker is not None and worker is not asyncio.current_task():
            worker.cancel()  # it may hang in the stream
            self._worker = None
            if self._work:
                self._work_on()
        while self._waiting and self._waiting[0].over:
            segment = self._waiting.popleft()
            segment.clear()
            self._tell(segment)
        if self._waiting:  # the caller still speaks; what was said of it so far is lost
            self._waiting[0].lost = True

    async def cleanup(self) -> None:
        stream, self._stream = self._stream, None
        for segment in self._waiting:
            if segment.timer is not None:
                segment.timer.cancel()
        if stream is not None:
            await stream.aclose()


async def _closed(stream: STTStream) -> None:
    with contextlib.suppress(Exception):
        await stream.aclose()


def choose_format(accepts: tuple[AudioFormat, ...], line: AudioFormat) -> AudioFormat:
    """The format in which a recognizer gets the audio of a line: the line's own, or one of the same rate, or the first.

    A recognizer that accepts anything gets what the line has.
    """
    if not accepts or line in accepts:
        return line
    return next((format for format in accepts if format.rate == line.rate), accepts[0])
