"""What a voice does with its streams: having one, giving it text, taking its sound, and having another when it is lost.

  ┌─────────── lost, with nothing left to say ────────────┐
  ▼                                                       │
none ── connect ──▶ line ── lost ──▶ orphans ── recover ──┴──▶ line: what is left is given to it
                     │ settings change
                     └──▶ retired: ends what it has begun, and is closed
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from ...audio import Audio, AudioFormat
from ...errors import CallEnded, ProviderError, SpeechError
from ...events import ProviderConnected, ProviderLost, ProviderTTFB, ProviderUsage
from ...frames import OutputAudioFrame
from ...prices import Amounts, cost, prices
from ...provider import Backoff, Vendor, has_secret, typed
from .lexicon import Lexicon
from .output import Output
from .sentences import split_sentences
from .settings import TTSSettings
from .speech import Line, Recording, Speech
from .stream import Chunk, Done, Failed, TTSStream
from .words import CHAR_MS

__all__ = ["Streams"]

#: How often a stream may be lost at the same word: it may be the word that a voice dies of.
_MOST_LOSSES: Final = 4
#: How often a provider that is down while it rings is tried before somebody speaks.
_WARM_ATTEMPTS: Final = 4
#: A stream that has lasted so long was a good one: the next attempt is a first one.
_LASTED_S: Final = 5.0
#: From so many characters one can tell how fast a voice speaks.
_PACE_CHARS: Final = 12


class Streams(Output):
    """The side of a voice that is turned to who speaks: a library, or a provider."""

    vendor: Vendor | None = None
    model: str = ""
    voice: str = ""
    language: str = ""

    def __init__(self, settings: TTSSettings) -> None:
        super().__init__(settings)
        self.lexicon = Lexicon(settings.lexicon, self.phonemes)
        self._line: Line | None = None  # that what comes now is spoken by
        self._lines: set[Line] = set()
        self._opening: asyncio.Task[Exception | None] | None = None
        self._version = 0  # of the settings
        self._recovering: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()  # a reply has come that needs a stream
        self._trouble: Exception | None = None  # why there is no stream
        self._backoff: Backoff | None = None
        #: Held by whoever gives text to a stream: what came late must not overtake what is said once more.
        self._giving = asyncio.Lock()
        self._char_ms: float = CHAR_MS
        self._used_chars = 0
        self._used_requests = 0

    # What a voice is by itself: `TTS` says more of it.

    @abc.abstractmethod
    async def open(self, format: AudioFormat, voice: str, language: str) -> TTSStream: ...

    @abc.abstractmethod
    def phonemes(self, word: str, sounds: str) -> str | None: ...

    @abc.abstractmethod
    def plain(self, text: str) -> str: ...

    def _keep(self, recording: Recording) -> None:
        """A sentence was spoken alone, and may be kept."""

    async def cleanup(self) -> None:
        lines, self._lines, self._line = tuple(self._lines), set(), None
        for line in lines:
            await self._close(line)

    def _whose(self) -> dict[str, Any]:
        """What all events of providers say."""
        assert self.vendor is not None
        return {"vendor": self.vendor.name, "service": "tts", "processor": self.name}

    # -- connections

    async def _connect(self) -> Exception | None:
        """Have a stream. Returns why there is none."""
        if self._line is not None:
            async with self._giving:
                if self._line is not None:
                    await self._resume(self._line)
            return None
        if self._opening is None:
            self._opening = self.spawn(self._open(), name=f"{self.name} opens", lasting=True)
        opening = self._opening
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled():  # and not whoever waits for it: the call is over
                return None
            raise

    async def _open(self) -> Exception | None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                began_s, version = loop.time(), self._version
                try:
                    stream = await self._within(self.open(self.format, self.voice, self.language))
                except Exception as error:
                    self._trouble = self._typed(error)
                    return self._trouble
                line = Line(stream, loop.time())
                self._lines.add(line)
                if version == self._version:
                    break
                await self._close(line)
            self._line, self._trouble = line, None
            if self.vendor is not None and self._backoff is not None:
                took_ms = round((loop.time() - began_s) * 1000)
                attempts = self._backoff.attempts + 1
                self.emit(ProviderConnected(took_ms=took_ms, attempts=attempts, **self._whose()))
            line.task = self.spawn(self._listen(line), name=f"{self.name} listens", lasting=True)
            async with self._giving:
                await self._resume(line)
            return None
        finally:
            self._opening = None

    async def _within(self, opening: Awaitable[TTSStream]) -> TTSStream:
        async with asyncio.timeout(self.settings.connect_ms / 1000 if self.vendor is not None else None):
            return await opening

    def _typed(self, error: Exception) -> Exception:
        if self.vendor is None or isinstance(error, SpeechError):
            return error
        found = typed(error, self.vendor, type(self).__name__)
        if found is not error and not has_secret(error):
            found.__cause__ = error
        return found

    def _orphans(self) -> list[Speech]:
        """Replies with something to say that no stream was given."""
        return [speech for speech in self._speeches.values() if speech.pending and speech.line is None]

    def _recover(self, error: Exception | None) -> None:
        """Open a stream for the replies that have none, after a while if need be."""
        if self._recovering is None or self._recovering.done():
            with contextlib.suppress(CallEnded):
                self._recovering = self.spawn(self._try_again(error), name=f"{self.name} recovers", lasting=True)

    async def _try_again(self, error: Exception | None) -> None:
        backoff = self._backoff
        assert backoff is not None
        while True:
            provider = error if isinstance(error, ProviderError) else None
            wait_ms: int | None = 0
            if provider is not None:
                # What was garbled once may come well the next time.
                wait_ms = 0 if provider.code == "provider.protocol" else backoff.next_ms(provider)
                self._report_lost(provider, wait_ms)
            if wait_ms is None:
                self._give_all_up(error)
                return
            if wait_ms:
                self._wanted.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_ms / 1000):
                        # A new reply need not wait for what was found before, unless the provider has said how long.
                        await (asyncio.Event() if provider and provider.retry_after_ms else self._wanted).wait()
            if not self._orphans() and backoff.attempts > _WARM_ATTEMPTS:
                return
            error = await self._connect()
            if error is None:
                if not self._orphans():
                    return
                error = self._trouble  # lost again, while it was given its text
                await asyncio.sleep(0)
                continue
            if not isinstance(error, ProviderError) or error.code == "provider.protocol":
                self._give_all_up(error)
                return

    def _give_all_up(self, error: Exception | None) -> None:
        for speech in self._orphans():
            if error is not None:
                self.fail(error)
                error = None  # told once
            self._gives_up(speech)

    def _report_lost(self, error: ProviderError, retry_ms: int | None) -> None:
        if self.vendor is not None:
            facts: dict[str, Any] = {"code": error.code, "status": error.status, "retry_ms": retry_ms}
            with contextlib.suppress(CallEnded):
                self.emit(ProviderLost(message=error.message, **facts, **self._whose()))

    def _renew(self) -> None:
        """Have another stream for what comes; the present one ends what it has begun."""
        self._version += 1
        line, self._line = self._line, None
        if line is not None:
            line.retired = True
            self._release(line)
        if self._opening is None and (self._recovering is None or self._recovering.done()):
            self.spawn(self._renewed(), name=f"{self.name} opens", lasting=True)

    async def _renewed(self) -> None:
        error = await self._connect()
        if error is not None:
            self._unreachable(error)

    def _release(self, line: Line) -> None:
        """Close a retired stream that nobody is spoken by any more."""
        if line.retired and not any(speech.line is line for speech in self._speeches.values()):
            with contextlib.suppress(CallEnded):
                self.spawn(self._close(line), name=f"{self.name} closes", lasting=True)

    async def _close(self, line: Line) -> None:
        """It may be lost while it retires, and the other way round: it is closed once."""
        self._lines.discard(line)
        if line.closed:
            return
        line.closed = True
        if line.task is not None:
            line.task.cancel()
        with contextlib.suppress(Exception):
            await line.stream.aclose()

    # -- to the stream

    async def _give(self, line: Line, speech: Speech, sentences: Sequence[str], *, flush: bool = False) -> None:
        """Hand text of a reply to a stream. What goes wrong is dealt with here."""
        stream, number = line.stream, speech.number
        try:
            for sentence in sentences:
                if not self._speaks(speech) or speech.line is not line:
                    return
                spoken = self.lexicon.speak(sentence, self.plain)
                self._used_chars += len(spoken)
                self._used_requests += 1
                if speech.asked_s is None and not speech.sound_ms:
                    speech.asked_s = asyncio.get_running_loop().time()
                await stream.send(number, spoken)
            if flush and self._speaks(speech) and speech.line is line:
                await stream.flush(number)
        except Exception as error:
            if speech.line is not line:  # another one speaks it
                return
            if self.vendor is None:
                self._failed(speech, error)
            else:
                await self._lost(line, error)

    async def _resume(self, line: Line) -> None:
        """Let a new stream speak what is left of the replies that have none."""
        for speech in self._orphans():
            if self._line is not line:
                return
            speech.line = line
            await self._give(line, speech, split_sentences(speech.placer.resume()), flush=speech.flushed)

    async def _settle(self, speech: Speech) -> None:
        """All that was given to the voice is spoken, or will not be."""
        async with self._giving:
            if not speech.pending or speech.failed:
                return
            speech.flushed = True
            if speech.line is not None:
                await self._give(speech.line, speech, (), flush=True)
        await self._until_done(speech)

    async def _until_done(self, speech: Speech) -> None:
        loop = asyncio.get_running_loop()
        limit_s, stall_s = self.settings.silence_ms / 1000, self.settings.stall_ms / 1000
        speech.heard_s = began_s = loop.time()
        while not speech.done.is_set():
            line = speech.line if self.vendor is not None else None
            next_s = speech.heard_s + limit_s
            if line is not None:
                next_s = min(next_s, max(line.heard_s, began_s) + stall_s)
            elif self.vendor is not None:  # a stream may come meanwhile, and hang as well
                next_s = min(next_s, loop.time() + stall_s / 4)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_s):
                    await speech.done.wait()
            if speech.done.is_set():
                return
            now_s = loop.time() + 1e-6
            if self._draining:  # it is not the voice that we wait for
                speech.heard_s = now_s
                if line is not None:
                    line.heard_s = now_s
            elif now_s >= speech.heard_s + limit_s:
                self._silent(speech)
                return
            elif line is not None and speech.line is line and now_s >= max(line.heard_s, began_s) + stall_s:
                await self._lost(line, self._stalled())

    def _stalled(self) -> ProviderError:
        assert self.vendor is not None
        prefix = type(self.settings).__name__
        return ProviderError.of(
            "provider.silent",
            vendor=self.vendor.name,
            waited_ms=self.settings.stall_ms,
            setting=f"{prefix}(stall_ms=...)",
        )

    def _silent(self, speech: Speech) -> None:
        """No sound for too long: the reply ends here."""
        line = speech.line
        if line is None and self._trouble is not None:
            self._failed(speech, self._trouble)
            return
        waited_ms = self.settings.silence_ms
        silent = SpeechError.of("tts.silent", processor=self.name, reply=speech.number, waited_ms=waited_ms)
        self._failed(speech, silent)
        if line is not None:
            self.spawn(self._cancel(line, speech.number))

    async def _cancel(self, line: Line, reply: int) -> None:
        if line in self._lines:
            try:
                await line.stream.cancel(reply)
            except Exception as error:
                await self._lost(line, error)
        self._release(line)

    def _unreachable(self, error: Exception) -> None:
        """There is no stream, and somebody waits for one."""
        if isinstance(error, ProviderError) and error.retryable:
            self._recover(error)
        else:
            if isinstance(error, ProviderError):
                self._report_lost(error, None)
            self._give_all_up(error)

    def _failed(self, speech: Speech, error: Exception) -> None:
        self.fail(error)
        self._gives_up(speech)

    def _gives_up(self, speech: Speech) -> None:
        """The rest of this reply is not spoken."""
        line = speech.line
        speech.failed = True
        speech.settled()
        self._report_usage()
        if line is not None:
            self._release(line)
        self.drained()

    # -- from the stream

    async def _listen(self, line: Line) -> None:
        chunks = line.stream.chunks()
        error: Exception | None = None
        loop = asyncio.get_running_loop()
        try:
            async for item in chunks:
                line.heard_s = loop.time()
                speech = self._speeches.get(item.reply)
                if speech is None or speech.failed or not speech.pending or speech.line is not line:
                    continue
                speech.heard_s = line.heard_s
                if isinstance(item, Chunk):
                    await self._speak(speech, item)
                    line.heard_s = loop.time()
                elif isinstance(item, Done):
                    self._spoken(speech)
                else:
                    self._refused(speech, item)
        except Exception as caught:
            error = caught
        finally:
            await chunks.aclose()
        await self._lost(line, error)

    def _refused(self, speech: Speech, item: Failed) -> None:
        error = self._typed(item.error)
        if isinstance(error, ProviderError):
            self._report_lost(error, None)
        self._failed(speech, error)

    async def _lost(self, line: Line, error: Exception | None) -> None:
        """The stream has ended, which it should not have done."""
        if line not in self._lines:
            return
        self._lines.discard(line)
        if self._line is line:
            self._line = None
        lost = [speech for speech in self._speeches.values() if speech.line is line]
        for speech in lost:
            speech.line = None
            speech.recording = None
        if self.vendor is None:
            self._lost_locally(lost, error)
        else:
            if error is None:
                error = ProviderError.of(
                    "provider.connection",
                    vendor=self.vendor.name,
                    detail="the stream has ended",
                    by=type(self).__name__,
                )
            self._lost_provider(line, lost, typed(error, self.vendor, type(self).__name__))
        if line.task is asyncio.current_task():
            line.task = None
        try:
            self.spawn(self._close(line), name=f"{self.name} closes", lasting=True)
        except CallEnded:
            await self._close(line)

    def _lost_locally(self, lost: Sequence[Speech], error: Exception | None) -> None:
        for speech in lost:
            ended = SpeechError.of("tts.stream-ended", processor=self.name, reply=speech.number)
            self.fail(error or ended)
            error = None  # told once
            if speech.resumed:
                self._gives_up(speech)
            elif not speech.placer.rest.strip():
                self._complete(speech)
            speech.resumed = True
        if error is not None:
            self.fail(error)
        if self._orphans():
            self._recover(None)

    def _lost_provider(self, line: Line, lost: Sequence[Speech], error: ProviderError) -> None:
        self._trouble = error
        backoff = self._backoff
        assert backoff is not None
        if asyncio.get_running_loop().time() - line.opened_s > _LASTED_S:
            backoff.succeeded()
        garbled = error.code == "provider.protocol"
        told = False
        for speech in lost:
            rest = speech.placer.rest
            if not rest.strip():  # only the end of it was not told
                self._complete(speech)
                continue
            speech.losses = speech.losses + 1 if speech.lost_at == len(rest) else 1
            speech.lost_at = len(rest)
            if garbled:
                hopeless, speech.resumed = speech.resumed, True
            else:
                hopeless = not error.retryable or speech.losses >= _MOST_LOSSES
            if hopeless:
                if not told:
                    self.fail(error)
                told = True
                self._gives_up(speech)
        if self._orphans():
            self._recover(error)
            return
        # Nobody waits for it. A stream that has lasted was closed for idleness: have another one for what comes next.
        again = error.retryable and backoff.attempts == 0 and not line.retired and self._line is None
        self._report_lost(error, 0 if again else None)
        if again:
            backoff.attempts = 1
            with contextlib.suppress(CallEnded):
                self.spawn(self._connect(), name=f"{self.name} opens", lasting=True)

    def _complete(self, speech: Speech) -> None:
        if speech.flushed:
            self._spoken(speech)
        else:
            speech.settled()

    async def _speak(self, speech: Speech, chunk: Chunk) -> None:
        length_ms = len(chunk.audio) * 1000 / self.format.bytes_per_second
        words = speech.placer.place(chunk.words, length_ms, self.lexicon.original if self.lexicon else None)
        if speech.asked_s is not None and chunk.audio:
            self._first_sound(speech, speech.asked_s)
        speech.sound_ms += length_ms
        if speech.recording is not None:
            speech.recording.add(chunk.audio, words, length_ms)
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

    def _first_sound(self, speech: Speech, asked_s: float) -> None:
        if self.vendor is not None:
            assert self._backoff is not None
            self._backoff.succeeded()
            ttfb_ms = round((asyncio.get_running_loop().time() - asked_s) * 1000)
            self.emit(ProviderTTFB(model=self.model, ttfb_ms=ttfb_ms, **self._whose()))
        speech.asked_s = None

    def _spoken(self, speech: Speech) -> None:
        recording, line = speech.recording, speech.line
        self._learn_pace(speech)
        rest = speech.placer.finish()
        if rest:
            self.push(OutputAudioFrame(Audio(b"", self.format), speech.number, rest))
            if recording is not None:
                recording.add(b"", rest, 0)
        speech.settled()
        self._report_usage()
        if recording is not None:
            self._keep(recording)
        if line is not None:
            self._release(line)
        self.drained()

    def _learn_pace(self, speech: Speech) -> None:
        """How fast a voice is that tells of no words, for the estimate of where it is."""
        if self.vendor is not None and speech.placer.silent and not speech.losses and speech.unit_chars >= _PACE_CHARS:
            char_ms = speech.sound_ms / speech.unit_chars
            self._char_ms = char_ms if self._char_ms == CHAR_MS else (self._char_ms + char_ms) / 2

    def _cost(self, chars: int) -> tuple[float | None, str]:
        """What this has cost in US dollars, and by which prices; None and "" if that is not known."""
        assert self.vendor is not None
        per_million = self.settings.usd_per_million_chars
        if per_million is not None:
            return round(chars * per_million / 1_000_000, 9), "TTSSettings.usd_per_million_chars"
        found = cost(self.vendor.name, self.model, Amounts(characters=chars))
        return (None, "") if found is None else (round(found, 9), prices().version)

    def _report_usage(self) -> None:
        chars, self._used_chars = self._used_chars, 0
        requests, self._used_requests = self._used_requests, 0
        if self.vendor is None or not chars:
            return
        cost_usd, by = self._cost(chars)
        usage = ProviderUsage(
            model=self.model,
            characters=chars,
            requests=requests,
            cost_usd=cost_usd,
            prices=by,
            **self._whose(),
        )
        with contextlib.suppress(CallEnded):
            self.emit(usage)
