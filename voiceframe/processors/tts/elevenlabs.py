"""The voices of ElevenLabs: contexts on one WebSocket.

https://elevenlabs.io/docs/api-reference/text-to-speech/v-1-text-to-speech-voice-id-multi-stream-input. The official SDK
(2.78) has no client for this socket that is not blocking, so it is spoken here with `websockets`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from ... import sockets
from ...audio import PCM_8K, PCM_16K, PCMU_8K, AudioFormat
from ...errors import ProviderError
from ...extras import optional
from ...frames import Word
from ...provider import Place, Vendor, typed
from ...provider import api_key as find_key
from ...settings import setting
from ...tls import tls
from .base import TTS, TTSSettings
from .cache import PromptCache
from .sockets import Context, ContextStream

__all__ = ["ElevenLabsTTS", "ElevenLabsTTSSettings"]

ELEVENLABS: Final = Vendor(
    "elevenlabs", "ELEVENLABS_API_KEY", "elevenlabs", "https://api.elevenlabs.io", "ELEVENLABS_BASE_URL"
)

_FORMATS: Final = {"pcm_s16le": "pcm", "mulaw": "ulaw", "alaw": "alaw"}
#: Models that read phonemes: the others leave the word out.
_WITH_PHONEMES: Final = frozenset({"eleven_flash_v2", "eleven_turbo_v2", "eleven_monolingual_v1"})
#: What the vendor's names of errors would be as a status of HTTP.
_STATUS: Final = {
    "invalid_api_key": 401,
    "missing_permissions": 401,
    "needs_authorization": 401,
    "unauthorized": 401,
    "quota_exceeded": 402,
    "too_many_concurrent_requests": 429,
    "concurrent_limit_exceeded": 429,
    "rate_limit_exceeded": 429,
    "system_busy": 503,
}
#: A socket that was idle for too long: nothing is wrong.
_IDLE: Final = "input_timeout_exceeded"
_POLICY: Final = 1008
#: The longest that a socket may be idle, in seconds.
_INACTIVITY_S: Final = 180


class ElevenLabsTTSSettings(TTSSettings, prefix="ELEVENLABS_TTS"):
    """How ElevenLabs speaks."""

    model: str = setting(
        default="eleven_flash_v2_5",
        doc="the model: `eleven_flash_v2_5`, `eleven_turbo_v2_5`, `eleven_multilingual_v2`, or an English one",
    )
    voice: str = setting(default="JBFqnCBsd6RMkjVDRZzb", doc="the id of a voice")
    language: str = setting(default="", doc="the language by ISO 639-1, as `en`, for models that take it; else empty")
    stability: float | None = setting(default=None, doc="from lively to steady", ge=0, le=1)
    similarity: float | None = setting(default=None, doc="how close to the original voice", ge=0, le=1)
    style: float | None = setting(default=None, doc="how much the style is exaggerated", ge=0, le=1)
    speaker_boost: bool | None = setting(default=None, doc="whether likeness is raised, which takes time")
    speed: float | None = setting(default=None, doc="how fast, 1 is the voice's own", ge=0.7, le=1.2)
    normalization: Literal["auto", "on", "off"] = setting(default="auto", doc="whether numbers and dates are read out")
    logging: bool = setting(default=True, doc="whether the vendor may keep the text; false needs an enterprise account")


class ElevenLabsTTS(TTS):
    """Speaks by ElevenLabs, which the extra `elevenlabs` brings: µ-law straight through for telephone lines.

    settings: by default from the environment and the settings file. voice, language: instead of those in them.
    api_key: by default that of `ELEVENLABS_API_KEY`. place: another URL, more headers or query parameters.

    Raises `ProviderError` (`provider.key`) if there is no key. In the lexicon, phonemes are those of the International
    Phonetic Alphabet, for the models `eleven_flash_v2` and `eleven_turbo_v2`.
    """

    vendor = ELEVENLABS
    produces = (PCMU_8K, AudioFormat("alaw", 8_000), PCM_16K, PCM_8K, AudioFormat("pcm_s16le", 24_000))

    def __init__(
        self,
        settings: ElevenLabsTTSSettings | None = None,
        *,
        voice: str = "",
        language: str = "",
        api_key: str = "",
        place: Place | None = None,
        cache: PromptCache | None = None,
        prompts: Iterable[str] = (),
    ) -> None:
        self.settings: ElevenLabsTTSSettings = settings or ElevenLabsTTSSettings.load()
        super().__init__(self.settings, cache=cache, prompts=prompts)
        self.model = self.settings.model
        self.voice = voice or self.settings.voice
        self.language = language or self.settings.language
        self.place = place or Place()
        self._key = find_key(ELEVENLABS, api_key, "ElevenLabsTTS")

    async def open(self, format: AudioFormat, voice: str, language: str) -> ElevenLabsStream:
        url = self._url(format, voice, language)
        headers = {"xi-api-key": self._key, **self.place.headers}
        try:
            socket = await sockets.connect(url, headers, extra="elevenlabs", what="ElevenLabsTTS")
        except Exception as error:
            raise _typed(error) from error
        return ElevenLabsStream(socket, format, self._voice_settings())

    def load(self) -> None:
        tls()
        optional("websockets.asyncio.client", extra="elevenlabs", what="ElevenLabsTTS")

    def _url(self, format: AudioFormat, voice: str, language: str) -> str:
        settings = self.settings
        query = {
            "model_id": settings.model,
            "output_format": f"{_FORMATS[format.encoding]}_{format.rate}",
            "auto_mode": "true",  # whole sentences are sent: there is nothing to wait for
            "sync_alignment": "true",
            "inactivity_timeout": str(_INACTIVITY_S),
            "apply_text_normalization": settings.normalization,
            "language_code": language,
            "enable_ssml_parsing": "true" if self._marked else "",
            "enable_logging": "" if settings.logging else "false",
        }
        url = f"{self.place.websocket(ELEVENLABS)}/v1/text-to-speech/{quote(voice, safe='')}/multi-stream-input"
        return self.place.with_query(url, {name: value for name, value in query.items() if value})

    def _voice_settings(self) -> dict[str, Any]:
        settings = self.settings
        found = {
            "stability": settings.stability,
            "similarity_boost": settings.similarity,
            "style": settings.style,
            "use_speaker_boost": settings.speaker_boost,
            "speed": settings.speed,
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def _marked(self) -> bool:
        """Whether the text has marks in it."""
        return self.settings.model in _WITH_PHONEMES and any("=/" in entry for entry in self.settings.lexicon)

    def phonemes(self, word: str, sounds: str) -> str | None:
        if self.settings.model not in _WITH_PHONEMES:
            return None
        return f'<phoneme alphabet="ipa" ph={quoteattr(sounds)}>{escape(word)}</phoneme>'

    def plain(self, text: str) -> str:
        return escape(text) if self._marked else text

    def configure(self, changes: Mapping[str, Any]) -> None:
        super().configure(changes)
        self.model = self.settings.model


class ElevenLabsStream(ContextStream):
    """One WebSocket of ElevenLabs."""

    def __init__(self, socket: Any, format: AudioFormat, voice_settings: Mapping[str, Any]) -> None:
        super().__init__(format)
        self._socket = socket
        self._voice_settings = voice_settings

    async def push(self, context: Context, text: str, first: bool) -> None:
        if first:
            begin: dict[str, Any] = {"text": " ", "context_id": context.id}
            if self._voice_settings:
                begin["voice_settings"] = self._voice_settings
            await self._send(begin)
        await self._send({"text": f"{text.strip()} ", "context_id": context.id})

    async def end(self, context: Context) -> None:
        await self._send({"context_id": context.id, "flush": True})
        await self._send({"context_id": context.id, "close_context": True})

    async def drop(self, context: Context) -> None:
        if not context.ended:
            await self._send({"context_id": context.id, "close_context": True})

    async def _send(self, message: Mapping[str, Any]) -> None:
        try:
            await self._socket.send(json.dumps(message))
        except Exception as error:
            raise _typed(error) from error

    async def aclose(self) -> None:
        await sockets.close(self._socket)

    async def receive(self) -> str | bytes:
        try:
            message: str | bytes = await self._socket.recv()
        except Exception as error:
            raise _typed(error) from error
        return message

    def take(self, message: str | bytes) -> None:
        event = json.loads(message)
        if event.get("error"):
            raise _refusal(str(event["error"]), str(event.get("message") or event["error"]))
        context = self.find(event.get("contextId"))
        if context is None:
            return
        audio = event.get("audio")
        if audio:
            times = event.get("alignment") or event.get("normalizedAlignment")
            if times:
                _add_letters(context, times)
            self.sound(context, base64.b64decode(audio, validate=True))
        if event.get("isFinal") or event.get("is_final"):
            _end_word(context)
            self.finished(context)


def _add_letters(context: Context, times: Mapping[str, Any]) -> None:
    """Letters with their times from the start of a piece of sound, as words from the start of the context."""
    begin = round(context.position_ms)
    for letter, start, length in zip(times["chars"], times["charStartTimesMs"], times["charDurationsMs"], strict=True):
        if letter.isspace():
            _end_word(context)
        else:
            context.partial.append((letter, begin + start, begin + start + length))


def _end_word(context: Context) -> None:
    partial = context.partial
    if partial:
        context.words.append(Word("".join(letter for letter, _, _ in partial), partial[0][1], partial[-1][2]))
        context.partial = []


def _typed(error: Exception) -> ProviderError:
    """What an error of the socket means: the vendor says why it has closed in the reason."""
    received = getattr(error, "rcvd", None)
    if received is not None and received.code == _POLICY and _IDLE not in received.reason:
        return _refusal(received.reason, received.reason)
    return typed(error, ELEVENLABS, "ElevenLabsTTS")


def _refusal(name: str, detail: str) -> ProviderError:
    if _IDLE in name:
        return typed(ConnectionError(detail), ELEVENLABS, "ElevenLabsTTS")
    status = next((status for known, status in _STATUS.items() if known in name), 400)
    return typed(sockets.Refused(detail, status), ELEVENLABS, "ElevenLabsTTS")
