"""The voices of OpenAI, and of servers that are compatible: sentence by sentence over HTTP, by the official SDK.

https://platform.openai.com/docs/api-reference/audio/createSpeech, SDK 3.52. There is nothing about words in the answer:
they are placed by an estimate that learns the pace of the voice, and at the end of each sentence it is known exactly.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, Final

from ...audio import AudioFormat
from ...extras import optional
from ...frames import Word
from ...provider import Place, Vendor
from ...provider import api_key as find_key
from ...settings import setting
from ...tls import tls
from .base import TTS, TTSSettings
from .cache import PromptCache
from .stream import Chunk, SentenceStream
from .words import CHAR_MS, Placer

__all__ = ["OpenAITTS", "OpenAITTSSettings"]

OPENAI: Final = Vendor("openai", "OPENAI_API_KEY", "openai", "https://api.openai.com/v1", "OPENAI_BASE_URL")

#: What `response_format="pcm"` is.
_FORMAT: Final = AudioFormat("pcm_s16le", 24_000)
#: A piece of the answer: 50 ms.
_PIECE: Final = _FORMAT.bytes_per_second // 20
#: How long an idle connection is kept for the next sentence, in seconds.
_KEPT_S: Final = 120.0


class OpenAITTSSettings(TTSSettings, prefix="OPENAI_TTS"):
    """How OpenAI speaks."""

    model: str = setting(default="gpt-4o-mini-tts", doc="the model: `gpt-4o-mini-tts`, `tts-1`, or a server's own")
    voice: str = setting(default="marin", doc="a voice: alloy, ash, ballad, cedar, coral, echo, marin, sage, …")
    instructions: str = setting(default="", doc="how to speak, in words; not for `tts-1`")
    speed: float | None = setting(default=None, doc="how fast, 1 is the voice's own", ge=0.25, le=4)
    stall_ms: int = setting(default=4_000, doc="time without sound after which a sentence is asked for anew", ge=50)
    silence_ms: int = setting(
        default=8_000, doc="time without sound after which a reply that was to be spoken is given up", ge=100
    )


class OpenAITTS(TTS):
    """Speaks by OpenAI, which the extra `openai` brings, or by a compatible server: `place=Place("http://…/v1")`.

    settings: by default from the environment and the settings file. voice: instead of the one in them.
    api_key: by default that of `OPENAI_API_KEY`; any text for a server that asks for none. place: another URL, more
        headers or query parameters.

    Raises `ProviderError` (`provider.key`) if there is no key. The sound has 24 kHz and is brought down for a telephone
    line. The lexicon takes respellings only.
    """

    vendor = OPENAI
    produces = (_FORMAT,)

    def __init__(
        self,
        settings: OpenAITTSSettings | None = None,
        *,
        voice: str = "",
        api_key: str = "",
        place: Place | None = None,
        cache: PromptCache | None = None,
        prompts: Iterable[str] = (),
    ) -> None:
        self.settings: OpenAITTSSettings = settings or OpenAITTSSettings.load()
        super().__init__(self.settings, cache=cache, prompts=prompts)
        self.model = self.settings.model
        self.voice = voice or self.settings.voice
        self.place = place or Place()
        self._key = find_key(OPENAI, api_key, "OpenAITTS")
        self._client: Any = None
        self._http: Any = None

    async def open(self, format: AudioFormat, voice: str, language: str) -> OpenAIStream:
        # The way there is made now: the handshakes of TCP and TLS are not to be waited for later.
        await self._http.head(self.place.http(OPENAI))
        settings = self.settings
        request: dict[str, Any] = {"model": settings.model, "voice": voice, "response_format": "pcm"}
        if settings.instructions:
            request["instructions"] = settings.instructions
        if settings.speed is not None:
            request["speed"] = settings.speed
        return OpenAIStream(self._client, request)

    def load(self) -> None:
        sdk = optional("openai", extra="openai", what="OpenAITTS")
        http = optional("httpx2", extra="openai", what="OpenAITTS")
        self._http = http.AsyncClient(
            verify=tls(),
            timeout=http.Timeout(self.settings.silence_ms / 1000, connect=self.settings.connect_ms / 1000),
            limits=http.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=_KEPT_S),
        )
        self._client = sdk.AsyncOpenAI(
            api_key=self._key,
            base_url=self.place.http(OPENAI),
            default_headers=dict(self.place.headers),
            default_query=dict(self.place.query),
            max_retries=0,  # what is tried again, and when, is decided for the whole reply
            http_client=self._http,
        )
        _ = self._client.audio.speech.with_streaming_response  # which is imported now

    def configure(self, changes: Mapping[str, Any]) -> None:
        super().configure(changes)
        self.model = self.settings.model

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._client is not None:
            await self._client.close()


class OpenAIStream(SentenceStream):
    """A request for each sentence."""

    def __init__(self, client: Any, request: Mapping[str, Any]) -> None:
        super().__init__(_FORMAT)
        self._client = client
        self._request = request
        self._char_ms: float = CHAR_MS

    async def speak(self, reply: int, text: str) -> AsyncGenerator[Chunk, None]:
        if not text.strip():
            return
        placer = Placer(self._char_ms)
        placer.given(text)
        size = 0
        odd = b""
        speech = self._client.audio.speech.with_streaming_response
        async with speech.create(input=text.strip(), **self._request) as answer:
            if answer.headers.get("content-type", "").startswith(("application/json", "text/")):
                raise ValueError("the answer is text, and not sound")
            async for piece in answer.iter_bytes(_PIECE):
                audio = odd + piece if odd else piece
                odd = audio[-1:] if len(audio) % 2 else b""
                audio = audio[:-1] if odd else audio
                size += len(audio)
                yield Chunk(reply, audio, placer.place((), len(audio) * 1000 / _FORMAT.bytes_per_second))
        if not size:
            raise ValueError("there is no sound in the answer")
        self._char_ms = size * 1000 / _FORMAT.bytes_per_second / len(text)
        rest = placer.finish()
        if rest:
            yield Chunk(reply, b"", tuple(Word(word.text, 0, 0) for word in rest))
