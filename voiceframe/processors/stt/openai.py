"""OpenAI: a session of the Realtime API that transcribes, told when a segment is over.

Sources: developers.openai.com/api/docs/guides/realtime-transcription and /api/reference/resources/realtime; SDK openai
3.52.
"""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Literal
from typing import Final as Constant

from ... import sockets
from ...audio import PCMU_8K, AudioFormat
from ...extras import optional
from ...frames import ExpectFrame
from ...prices import Amounts
from ...provider import Place, Vendor, redacted
from ...settings import Settings, setting
from ...tls import tls
from .base import STTSettings
from .cloud import CloudSTT
from .stream import Final, Interim, STTResult, STTStream

__all__ = ["OpenAISTT", "OpenAISTTSettings"]

_log = logging.getLogger(__name__)

_VENDOR: Constant = Vendor("openai", "OPENAI_API_KEY", "openai", "https://api.openai.com/v1", "OPENAI_BASE_URL")
_PCM_24K: Constant = AudioFormat("pcm_s16le", 24_000)
_FORMATS: Constant[Mapping[AudioFormat, Mapping[str, Any]]] = {
    _PCM_24K: {"type": "audio/pcm", "rate": 24_000},
    PCMU_8K: {"type": "audio/pcmu"},
    AudioFormat("alaw", 8_000): {"type": "audio/pcma"},
}
#: What each says in an error that is not about one message, by what it is as a status of HTTP.
_STATUS: Constant = {
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "insufficient_quota": 402,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "server_error": 500,
}


class OpenAISTTSettings(Settings, prefix="OPENAI_STT"):
    """How OpenAI listens."""

    model: str = setting(
        default="gpt-live-transcribe", doc="the model: gpt-live-transcribe, gpt-transcribe, gpt-realtime-whisper, …"
    )
    language: str = setting(default="en", doc="ISO 639-1 code of the language; empty to have it found out")
    prompt: str = setting(default="", doc="what the conversation is about, for the models that take it")
    noise_reduction: Literal["", "near_field", "far_field"] = setting(
        default="", doc="what the noise is filtered for, a headset or a room; empty for none"
    )
    delay: Literal["", "minimal", "low", "medium", "high", "xhigh"] = setting(
        default="", doc="how long gpt-realtime-whisper waits before it gives words; empty for its own"
    )


class OpenAISTT(CloudSTT):
    """OpenAI over `/v1/realtime?intent=transcription`. µ-law and A-law go straight through, all else at 24 kHz.

    The hints are `keywords` or part of the `prompt`, as the model has it, and change while it runs;
    `gpt-realtime-whisper` takes none. Any server that speaks this protocol can be asked by `place`.
    """

    vendor = _VENDOR
    accepts = tuple(_FORMATS)

    def __init__(
        self,
        settings: OpenAISTTSettings | None = None,
        stt: STTSettings | None = None,
        *,
        place: Place | None = None,
        api_key: str = "",
        hints: tuple[str, ...] | list[str] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            settings or OpenAISTTSettings.load(), stt, place=place, api_key=api_key, hints=hints, aliases=aliases
        )

    def model_takes_hints(self, model: str) -> bool:
        return model not in ("gpt-realtime-whisper", "gpt-4o-transcribe-diarize")

    def transcription(self, hints: tuple[str, ...]) -> dict[str, Any]:
        """The part of the session that says how to transcribe."""
        options: OpenAISTTSettings = self.options
        found: dict[str, Any] = {"model": options.model}
        if options.language:
            found["language"] = options.language.partition("-")[0]
        if options.delay:
            found["delay"] = options.delay
        prompt = options.prompt
        if hints and options.model in ("gpt-transcribe", "gpt-live-transcribe"):
            found["keywords"] = list(hints)
        elif hints and self.takes_hints:
            listed = ", ".join(hints)
            listed = listed if options.model == "whisper-1" else f"Words that may be said: {listed}."
            prompt = f"{prompt} {listed}".strip()
        if prompt:
            found["prompt"] = prompt
        return found

    def session(self, format: AudioFormat, hints: tuple[str, ...]) -> dict[str, Any]:
        """What `session.update` says."""
        sound: dict[str, Any] = {
            "format": dict(_FORMATS[format]),
            "transcription": self.transcription(hints),
            "turn_detection": None,
        }
        if self.options.noise_reduction:
            sound["noise_reduction"] = {"type": self.options.noise_reduction}
        return {"type": "transcription", "audio": {"input": sound}}

    def load(self) -> None:
        for module in ("websockets.asyncio.client", "websockets.sync.client"):  # the SDK imports both to connect
            optional(module, extra=self.vendor.extra, what=self.by)
        realtime = optional("openai.resources.realtime.realtime", extra=self.vendor.extra, what=self.by)
        # The SDK builds what it reads messages with for the first one, which takes tens of milliseconds.
        first = b'{"type": "session.created", "event_id": "", "session": {}}'
        realtime.AsyncRealtimeConnection(None).parse_event(first)
        self._client()

    def _client(self) -> Any:
        sdk = optional("openai", extra=self.vendor.extra, what=self.by)
        return sdk.AsyncOpenAI(
            api_key=self.key,
            base_url=self.place.http(self.vendor),
            websocket_base_url=self.place.websocket(self.vendor),
            # Nothing is asked by HTTP, for which the client would make a TLS context of its own.
            http_client=sdk.DefaultAsyncHttpxClient(verify=tls()),
        )

    async def open(self, format: AudioFormat, language: str) -> STTStream:
        client = self._client()
        ping_s = self.settings.ping_ms / 1000
        try:
            connection = await client.realtime.connect(
                extra_query={"intent": "transcription", **self.place.query},
                extra_headers=dict(self.place.headers),
                websocket_connection_options=sockets.options(
                    self.place.websocket(self.vendor), ping_s=ping_s, pong_s=ping_s
                ),
            ).enter()
        except BaseException:
            await client.close()
            raise
        stream = _Transcription(client, connection, format, self)
        try:
            await stream.started()
        except BaseException:
            await stream.aclose()
            raise
        return stream


class _Transcription(STTStream):
    """Segments become items of a conversation. Results may come in any order, and are given in that of the items."""

    def __init__(self, client: Any, connection: Any, format: AudioFormat, owner: OpenAISTT) -> None:
        self._client = client
        self._connection = connection
        self._format = format
        self._owner = owner
        self._items: list[str] = []  # committed, without a result that was given
        self._done: dict[str, str] = {}  # results that are not given yet
        self._partial: dict[str, str] = {}

    async def started(self) -> None:
        """Set the session up, and wait until that was taken."""
        await self._connection.session.update(session=self._owner.session(self._format, self._owner.hints))
        while True:
            event = await self._connection.recv()
            kind = getattr(event, "type", None)
            if kind == "error":
                raise _failure(event.error, 400)
            if kind == "session.updated":
                return

    async def begin(self, expect: ExpectFrame | None) -> None:
        pass

    async def send(self, audio: bytes) -> None:
        await self._connection.input_audio_buffer.append(audio=base64.b64encode(audio).decode())

    async def finalize(self) -> None:
        await self._connection.input_audio_buffer.commit()

    async def configure(self, hints: tuple[str, ...], changes: Mapping[str, Any]) -> bool:
        await self._connection.session.update(session=self._owner.session(self._format, hints))
        return True

    async def aclose(self) -> None:
        await sockets.close(self._connection._connection)
        with contextlib.suppress(Exception):
            await self._client.close()

    def _count(self, usage: Any) -> None:
        if getattr(usage, "type", None) == "tokens":  # else it is the length of the audio, which is known
            details = usage.input_token_details
            self._owner.count(
                Amounts(
                    input_tokens=usage.input_tokens or 0,
                    output_tokens=usage.output_tokens or 0,
                    audio_input_tokens=getattr(details, "audio_tokens", None) or 0,
                )
            )

    async def results(self) -> AsyncGenerator[STTResult, None]:
        while True:
            event = await self._connection.recv()
            kind = getattr(event, "type", None)
            if kind == "input_audio_buffer.committed":
                self._items.append(event.item_id)
            elif kind == "conversation.item.input_audio_transcription.delta":
                text = self._partial[event.item_id] = self._partial.get(event.item_id, "") + (event.delta or "")
                if text.strip() and (not self._items or self._items[0] == event.item_id):
                    yield Interim(text.strip())
            elif kind == "conversation.item.input_audio_transcription.completed":
                self._count(event.usage)
                self._done[event.item_id] = event.transcript.strip()
            elif kind == "conversation.item.input_audio_transcription.failed":
                raise _failure(event.error, 500)
            elif kind == "error":
                if event.error.code == "input_audio_buffer_commit_empty":  # there was next to nothing to be committed
                    self._items.append("")
                    self._done[""] = ""
                elif _known(event.error):
                    raise _failure(event.error, 500)
                else:  # of one message; the session goes on
                    _log.warning("OpenAI says: %s", redacted(str(event.error.message)))
            while self._items and self._items[0] in self._done:
                item = self._items.pop(0)
                self._partial.pop(item, None)
                yield Final(self._done.pop(item) if item not in self._items else self._done[item])


def _known(error: Any) -> bool:
    return error.code in _STATUS or error.type in _STATUS or error.code == "session_expired"


def _failure(error: Any, default: int) -> Exception:
    """What an error of OpenAI's in a message means."""
    if error.code == "session_expired":
        return ConnectionResetError(error.message or "the session has expired")
    status = _STATUS.get(error.code or "") or _STATUS.get(error.type or "") or default
    return sockets.Refused(f"{error.code or error.type}: {error.message}", status)
