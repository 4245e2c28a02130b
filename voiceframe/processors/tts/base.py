"""Text to speech: what all voices have in common."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from ...audio import AudioFormat
from ...errors import ProviderError, SpeechError
from ...frames import (
    ClipFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    UpdateSettingsFrame,
)
from ...prices import prices
from ...processor import handles
from ...provider import Backoff, Vendor, choose, has_secret
from .cache import PromptCache, PromptKey, shared_cache
from .lexicon import Lexicon
from .output import choose_format
from .prompt import Prompt
from .prompts import Prompts
from .sentences import split_sentences
from .settings import TTSSettings
from .speech import Recording, Speech
from .stream import Done, Failed, TTSStream
from .streams import Streams
from .words import Placer

__all__ = ["TTS", "TTSSettings"]

log = logging.getLogger(__name__)

#: Text that may wait to be spoken, in characters: an hour of speech.
MOST_CHARS = 60_000
#: Settings of which the sound of a voice does not depend.
_NO_SOUND: Final = frozenset({"provider", "silence_ms", "stall_ms", "connect_ms", "clip_ms", "usd_per_million_chars"})
#: Voices by the name that settings have for them: module and class.
_BY_NAME: Final = {
    "cartesia": ".cartesia:CartesiaTTS",
    "deepgram": ".deepgram:DeepgramTTS",
    "elevenlabs": ".elevenlabs:ElevenLabsTTS",
    "espeak": ".espeak:EspeakTTS",
    "openai": ".openai:OpenAITTS",
}
#: Errors that a user has to mend before any call can be taken.
_FATAL: Final = frozenset({"provider.key", "provider.auth", "provider.request", "provider.unsupported"})


class TTS(Streams):
    """Speaks the replies: text and clips come in, sound with the times of its words goes out.

    A voice is a subclass with `open()`, which gives a stream; all else is done here. Text is cut into sentences, each
    of which is sent as soon as it is certain. `ReplyStartedFrame` goes on at once and `ReplyEndedFrame` behind the
    sound. An interruption drops the dead replies and cancels them in the stream.

    If the stream is lost, another one speaks the rest of its replies, from the first word of which not all was heard.
    A provider (`vendor`) that cannot be reached is tried again, ever later, and one that owes sound and gives none for
    `stall_ms` is connected anew. A reply of which there is no sound for `silence_ms`, or which is refused, ends where
    it is, with an error. A failure that may be due to the text is forgiven once for each reply.

    The words of a reply, joined, are its text (for each clip, the clip's), if all of it was spoken.

    settings: by default from the environment and the settings file. An `UpdateSettingsFrame` changes them in the call;
        voice, language and the like hold from the next reply on.
    cache: where sentences are kept that are said again and again; for providers by default that of the process.
    prompts: sentences that are made ready, and kept, while it rings.
    """

    #: Whose voice it is; None for one of this machine.
    vendor: Vendor | None = None
    #: The vendor's name of the model, for events.
    model: str = ""
    #: The voice and the language that `open()` is given; what they may be is the subclass's affair.
    voice: str = ""
    language: str = ""

    def __init__(
        self,
        settings: TTSSettings | None = None,
        *,
        cache: PromptCache | None = None,
        prompts: Iterable[str] = (),
    ) -> None:
        super().__init__(settings or TTSSettings.load())
        self._prompt_cache = cache
        self._prompts = tuple(prompts)
        self._prompts_now: Prompts | None = None
        self._prompts_version = 0

    @staticmethod
    def by_name(name: str = "", **arguments: Any) -> TTS:
        """The voice of this name, made with these arguments; by default the one of the settings.

        Raises `ProviderError` (`provider.unknown`) for a name that there is not.
        """
        found = choose("voice", name or TTSSettings.load().provider, _BY_NAME, by="TTS.by_name(...)")
        module, _, cls = found.partition(":")
        made: TTS = getattr(import_module(module, __package__), cls)(**arguments)
        return made

    def load(self) -> None:
        """Import and make what `open()` needs. Runs in a thread, while it rings and before the first connection.

        Raises `MissingExtra`.
        """

    @abc.abstractmethod
    async def open(self, format: AudioFormat, voice: str, language: str) -> TTSStream:
        """A stream of this voice whose chunks have `format`. Called in `setup()`, and again when a stream has ended."""

    def nearest_voice(self, voice: str) -> str | None:
        """None if there is this voice, or if nobody can tell without asking the vendor; else the name of the one that
        is most like it."""
        return None

    def phonemes(self, word: str, sounds: str) -> str | None:
        """What the voice is given for `word`, that it may say `sounds`; None if it takes no phonemes."""
        return None

    def plain(self, text: str) -> str:
        """What the voice is given for a text that is not in the lexicon: where it has marks of its own."""
        return text

    def configure(self, changes: Mapping[str, Any]) -> None:
        """The settings have changed: `self.settings` has the new ones. Called before a new stream is opened."""
        if "voice" in changes:
            self.voice = changes["voice"]
        if "language" in changes:
            self.language = changes["language"]

    def fullness(self) -> float:
        return sum(speech.chars for speech in self._speeches.values()) / MOST_CHARS

    async def setup(self) -> None:
        self.format = choose_format(self.produces, self.call.transport.output().accepts)
        self._backoff = Backoff(self.call.rng)
        self._warn_of_lexicon()
        if self.vendor is not None:
            prices()  # a file with prices that cannot be read is told now, and not in the first reply
            await self.offload(self.load)
        error = await self._connect()
        if error is not None:
            if not isinstance(error, ProviderError) or error.code in _FATAL:
                raise error
            self._recover(error)
        if self._prompts:
            self.spawn(self._prepare_quietly(), name=f"{self.name} prepares", lasting=True)

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
            self._forget(speech)
        return frame

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        for speech in [speech for speech in self._speeches.values() if not self.alive(speech.number)]:
            del self._speeches[speech.number]
            line = speech.line if speech.pending else None
            speech.settled()
            if line is not None:
                self.spawn(self._cancel(line, speech.number))
        self._report_usage()
        self.drained()

    @handles(EndFrame, on_interrupt="finish")
    async def on_end(self, frame: EndFrame) -> None:
        """Whoever began a reply that has not ended is through by now: it ends here."""
        for speech in list(self._speeches.values()):
            await self._finish(speech)
            if self._speeches.pop(speech.number, None) is not None:
                self.push(ReplyEndedFrame(speech.number))

    @handles(UpdateSettingsFrame)
    def on_settings(self, frame: UpdateSettingsFrame) -> None:
        if frame.target != self.name:
            return
        before = self.settings
        self.settings = before.replace(**frame.changes)
        try:
            self.lexicon = Lexicon(self.settings.lexicon, self.phonemes)
        except SpeechError:
            self.settings = before
            raise
        self._warn_of_lexicon()
        self.configure(frame.changes)
        if any(name == "lexicon" or name not in TTSSettings._settings for name in frame.changes):
            self._renew()

    def _find(self, reply: int) -> Speech:
        speech = self._speeches.get(reply)
        if speech is None:
            speech = self._speeches[reply] = Speech(reply)
            speech.placer = Placer(self._char_ms)
        return speech

    def _forget(self, speech: Speech) -> None:
        self._speeches.pop(speech.number, None)

    def _warn_of_lexicon(self) -> None:
        if self.lexicon.refused:
            error = ProviderError.of(
                "provider.unsupported",
                vendor=self.vendor.name if self.vendor else self.name,
                what=f"be told phonemes, as those of {', '.join(self.lexicon.refused)}",
                by="lexicon",
                instead="respellings: `word=respelling`",
            )
            log.warning("%s: %s %s", self.name, error.message, error.fix)

    async def _say(self, speech: Speech, text: str) -> None:
        prompt = await self._cached(text)
        if prompt is not None:
            await self._settle(speech)
            if self._may_speak(speech):
                await self._repeat(speech, prompt, text)
            return
        async with self._giving:
            if not self._may_speak(speech):  # it was interrupted meanwhile
                return
            if not speech.pending:
                speech.line = self._line
            speech.given(text)
            self._record(speech, text)
            line = speech.line
            if line is not None:
                await self._give(line, speech, [text])
                return
            if speech.unit == 1:
                self._wanted.set()
        if self._recovering is None or self._recovering.done():
            error = await self._connect()
            if error is not None:
                self._unreachable(error)

    def _may_speak(self, speech: Speech) -> bool:
        return self._speaks(speech) and not speech.failed

    async def _finish(self, speech: Speech) -> None:
        """All that came of the reply so far is spoken, when this returns."""
        rest = speech.sentences.flush()
        if rest:
            await self._say(speech, rest)
        await self._settle(speech)

    # -- what is kept

    async def prepare(self, texts: Iterable[str]) -> None:
        """Have these texts made and kept, on disk too if the cache has a folder: they are played without the provider.

        Raises `ProviderError`, and `ProcessorError` before the voice is part of a call.
        """
        self._linked("prepare")
        prompts = self._kept
        if prompts is None:
            return
        sentences = [sentence for text in texts for sentence in split_sentences(text) if prompts.keeps(sentence)]
        missing = [text for text in dict.fromkeys(sentences) if await self.offload(prompts.fetch, text) is None]
        missing = [text for text in missing if prompts.cache.claim(prompts.key(text))]
        try:
            if missing:
                await self._make(prompts, missing)
        except Exception as error:
            found = self._typed(error)
            raise found from (None if found is error or has_secret(error) else error)
        finally:
            for text in missing:
                prompts.cache.release(prompts.key(text))
            self._report_usage()

    async def _make(self, prompts: Prompts, texts: Sequence[str]) -> None:
        stream = await self._within(self.open(self.format, self.voice, self.language))
        chunks = stream.chunks()
        try:
            for number, text in enumerate(texts):
                spoken = self.lexicon.speak(text, self.plain)
                self._used_chars += len(spoken)
                self._used_requests += 1
                await stream.send(-1 - number, spoken)
                await stream.flush(-1 - number)
                placer, recording = Placer(self._char_ms), Recording(text)
                placer.given(text)
                while True:
                    async with asyncio.timeout(self.settings.silence_ms / 1000):
                        item = await anext(chunks)
                    if isinstance(item, Failed):
                        raise item.error
                    if isinstance(item, Done):
                        break
                    length_ms = len(item.audio) * 1000 / self.format.bytes_per_second
                    original = self.lexicon.original if self.lexicon else None
                    recording.add(item.audio, placer.place(item.words, length_ms, original), length_ms)
                recording.add(b"", placer.finish(), 0)
                await self.offload(lambda kept: prompts.keep(kept, disk=True), recording)
        finally:
            await chunks.aclose()
            with contextlib.suppress(Exception):
                await stream.aclose()

    async def _prepare_quietly(self) -> None:
        try:
            await self.prepare(self._prompts)
        except ProviderError as error:
            log.warning("%s: sentences could not be prepared: %s", self.name, error)

    @property
    def _kept(self) -> Prompts | None:
        """The prompts of this voice as it is set now; None for a voice that needs none."""
        if self.vendor is None:
            return None
        if self._prompts_version != self._version or self._prompts_now is None:
            cache = shared_cache() if self._prompt_cache is None else self._prompt_cache
            self._prompts_now = Prompts(cache, self._sound_key(), self.format, self.settings.piece_ms)
            self._prompts_version = self._version
        return self._prompts_now

    def _sound_key(self) -> PromptKey:
        """What makes the sound of this voice what it is: all settings but those of waiting."""
        assert self.vendor is not None
        names = [name for name in self.settings._settings if name not in _NO_SOUND]
        settings = (f"{name}={getattr(self.settings, name)}" for name in sorted(names))
        return (self.vendor.name, type(self).__name__, self.voice, self.language, str(self.format), *settings)

    async def _cached(self, text: str) -> Prompt | None:
        prompts = self._kept
        if prompts is None or not prompts.keeps(text):
            return None
        prompt = prompts.get(text)
        if prompt is None and prompts.cache.on_disk:
            prompt = await self.offload(prompts.fetch, text)
        return prompt

    def _record(self, speech: Speech, text: str) -> None:
        """Keep the sound of a sentence if it comes to be spoken alone."""
        prompts = self._kept
        alone = prompts is not None and speech.unit == 1 and prompts.keeps(text) and not self.call.log.private
        speech.recording = Recording(text) if alone else None

    def _keep(self, recording: Recording) -> None:
        prompts = self._kept
        if prompts is not None and not self.call.log.private:
            prompts.keep(recording)
