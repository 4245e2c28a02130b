"""The voices of Cartesia: many contexts on one WebSocket, by the official SDK.

https://docs.cartesia.ai/api-reference/tts/websocket, SDK 4.2.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ... import sockets
from ...audio import PCM_8K, PCM_16K, PCMU_8K, AudioFormat
from ...extras import optional
from ...frames import Word
from ...provider import Place, Vendor, typed
from ...provider import api_key as find_key
from ...settings import setting
from ...tls import tls
from .base import TTS, TTSSettings
from .cache import PromptCache
from .sockets import Context, ContextStream
from .stream import Failed

__all__ = ["CartesiaTTS", "CartesiaTTSSettings"]

CARTESIA: Final = Vendor("cartesia", "CARTESIA_API_KEY", "cartesia", "https://api.cartesia.ai", "CARTESIA_BASE_URL")

_ENCODINGS: Final = {"pcm_s16le": "pcm_s16le", "mulaw": "pcm_mulaw", "alaw": "pcm_alaw"}
#: A letter of the phonetic alphabet with the marks that belong to it.
_PHONE: Final = re.compile(r"[ˈˌ]?[^\sˈˌ|][ːˑ\u0300-\u036f\u02b0-\u02b8]*")


class CartesiaTTSSettings(TTSSettings, prefix="CARTESIA_TTS"):
    """How Cartesia speaks."""

    model: str = setting(default="sonic-3", doc="the model: `sonic-3`, `sonic-3.5`, `sonic-latest`, or a dated one")
    voice: str = setting(default="f786b574-daa5-4673-aa0c-cbe3e8534c02", doc="the id of a voice")
    language: str = setting(default="en", doc="the language that the voice speaks, as `en` or `de`")
    speed: float | None = setting(default=None, doc="how fast, 1 is the voice's own; sonic-3 and newer", ge=0.6, le=1.5)
    volume: float | None = setting(default=None, doc="how loud, 1 is the voice's own; sonic-3 and newer", ge=0.5, le=2)
    emotion: str = setting(default="", doc="an emotion of sonic-3 and newer, as `calm`; empty for none")
    pronunciation_dict: str = setting(default="", doc="the id of a pronunciation dictionary; empty for none")


class CartesiaTTS(TTS):
    """Speaks by Cartesia, which the extra `cartesia` brings: µ-law straight through for telephone lines.

    settings: by default from the environment and the settings file. voice, language: instead of those in them.
    api_key: by default that of `CARTESIA_API_KEY`. place: another URL, more headers or query parameters.

    Raises `ProviderError` (`provider.key`) if there is no key. In the lexicon, phonemes are those of the International
    Phonetic Alphabet, with bars between them or without: `/n|oʊ|v|ə/`.
    """

    vendor = CARTESIA
    produces = (PCMU_8K, AudioFormat("alaw", 8_000), PCM_16K, PCM_8K, AudioFormat("pcm_s16le", 24_000))

    def __init__(
        self,
        settings: CartesiaTTSSettings | None = None,
        *,
        voice: str = "",
        language: str = "",
        api_key: str = "",
        place: Place | None = None,
        cache: PromptCache | None = None,
        prompts: Iterable[str] = (),
    ) -> None:
        settings = settings or CartesiaTTSSettings.load()
        super().__init__(settings, cache=cache, prompts=prompts)
        self.settings: CartesiaTTSSettings = settings
        self.model = settings.model
        self.voice = voice or settings.voice
        self.language = language or settings.language
        self.place = place or Place()
        self._key = find_key(CARTESIA, api_key, "CartesiaTTS")
        self._client: Any = None

    async def open(self, format: AudioFormat, voice: str, language: str) -> CartesiaStream:
        connecting = self._client.tts.websocket_connect(
            extra_query=dict(self.place.query),
            extra_headers=dict(self.place.headers),
            websocket_connection_options=sockets.options(self.place.websocket(CARTESIA)),
        )
        return CartesiaStream(await connecting.enter(), format, self._request(format, voice, language))

    def load(self) -> None:
        sdk = optional("cartesia", extra="cartesia", what="CartesiaTTS")
        optional("websockets.asyncio.client", extra="cartesia", what="CartesiaTTS")
        # Nothing is asked by HTTP, for which the client would make a TLS context of its own.
        # Nothing is asked by HTTP, for which the client would make a TLS context of its own.
        self._client = sdk.AsyncCartesia(
            api_key=self._key,
            base_url=self.place.http(CARTESIA),
            websocket_base_url=self.place.websocket(CARTESIA),
            http_client=sdk.DefaultAsyncHttpxClient(verify=tls()),
        )
        _ = self._client.tts  # which is imported now

    def _request(self, format: AudioFormat, voice: str, language: str) -> dict[str, Any]:
        """What each message says beside its text."""
        settings = self.settings
        config = {"speed": settings.speed, "volume": settings.volume, "emotion": settings.emotion or None}
        more: dict[str, Any] = {
            "generation_config": {name: value for name, value in config.items() if value is not None},
            "pronunciation_dict_id": settings.pronunciation_dict,
        }
        return {
            "model_id": settings.model,
            "voice": {"mode": "id", "id": voice},
            "output_format": {
                "container": "raw",
                "encoding": _ENCODINGS[format.encoding],
                "sample_rate": format.rate,
            },
            "language": language,
            "add_timestamps": True,
            "max_buffer_delay_ms": 0,  # whole sentences are sent: there is nothing to wait for
            **{name: value for name, value in more.items() if value},
        }

    def phonemes(self, word: str, sounds: str) -> str:
        phones = sounds.split("|") if "|" in sounds else _PHONE.findall(sounds)
        return f"<<{'|'.join(phones)}>>"

    def configure(self, changes: Mapping[str, Any]) -> None:
        super().configure(changes)
        self.model = self.settings.model

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._client is not None:
            await self._client.close()


class CartesiaStream(ContextStream):
    """One WebSocket of Cartesia."""

    # It forgets a context a second after its last sound.
    lasts_s = 0.6

    def __init__(self, connection: Any, format: AudioFormat, request: Mapping[str, Any]) -> None:
        super().__init__(format)
        self._connection = connection
        self._request = request

    async def push(self, context: Context, text: str, first: bool) -> None:
        await self._send(context, text, more=True)

    async def end(self, context: Context) -> None:
        await self._send(context, "", more=False)

    async def _send(self, context: Context, text: str, *, more: bool) -> None:
        await self._connection.send({**self._request, "context_id": context.id, "transcript": text, "continue": more})

    async def drop(self, context: Context) -> None:
        await self._connection.send({"context_id": context.id, "cancel": True})

    async def aclose(self) -> None:
        await sockets.close(self._connection._connection)  # the SDK has no way to end what does not answer

    async def receive(self) -> bytes:
        message: bytes = await self._connection.recv_bytes()
        return message

    def take(self, message: bytes) -> None:
        # Read here and not by the SDK's models, which take ten times as long.
        event = json.loads(message)
        kind = event["type"]
        context = self.find(event.get("context_id"))
        if kind == "error":
            self._refused(context, event)
        elif context is None:
            return
        elif kind == "chunk":
            try:
                audio = base64.b64decode(event["data"], validate=True)
            except binascii.Error as error:
                raise ValueError(f"a chunk is no base64: {error}") from error
            if audio:
                self.sound(context, audio)
        elif kind == "timestamps":
            times = event["word_timestamps"]
            context.words.extend(
                Word(word, round(start * 1000), round(end * 1000))
                for word, start, end in zip(times["words"], times["start"], times["end"], strict=True)
            )
        elif kind == "done":
            self.finished(context)

    def _refused(self, context: Context | None, event: Mapping[str, Any]) -> None:
        detail = event.get("message") or event.get("title") or event.get("error_code") or event.get("error") or "error"
        status = event.get("status_code")
        error = typed(sockets.Refused(str(detail), status if isinstance(status, int) else 0), CARTESIA, "CartesiaTTS")
        if context is None and event.get("context_id") is not None:
            return  # of a context that was dropped
        if context is None or error.retryable:
            raise error
        self.give(Failed(context.reply, error))
        self.gone(context.reply)
