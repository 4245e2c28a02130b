"""ElevenLabs Scribe in real time, told when a segment is over.

Sources: elevenlabs.io/docs/api-reference/speech-to-text/v-1-speech-to-text-realtime and
elevenlabs.io/docs/eleven-api/guides/cookbooks/speech-to-text/realtime; SDK elevenlabs 2.78.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar
from typing import Final as Constant

from ... import sockets
from ...audio import PCM_8K, PCM_16K, PCMU_8K, AudioFormat
from ...extras import optional
from ...frames import ExpectFrame, Word
from ...provider import Place, Vendor
from ...settings import Settings, setting
from ...tls import tls
from .base import STTSettings
from .cloud import CloudSTT
from .stream import Final, Interim, STTResult, STTStream

__all__ = ["ElevenLabsSTT", "ElevenLabsSTTSettings"]

_log = logging.getLogger(__name__)

_VENDOR: Constant = Vendor(
    "elevenlabs", "ELEVENLABS_API_KEY", "elevenlabs", "https://api.elevenlabs.io", "ELEVENLABS_BASE_URL"
)
_FORMATS: Constant = {
    PCM_16K: "pcm_16000",
    PCMU_8K: "ulaw_8000",
    PCM_8K: "pcm_8000",
    AudioFormat("pcm_s16le", 24_000): "pcm_24000",
    AudioFormat("pcm_s16le", 48_000): "pcm_48000",
}
#: What the vendor takes: so many hints, each of at most so many characters.
_MOST_HINTS, _MOST_CHARACTERS = 50, 20
#: Errors that come as messages, by what they are as a status of HTTP. `session_time_limit_exceeded` and
#: `insufficient_audio_activity` are none: another connection is made.
_STATUS: Constant = {
    "auth_error": 401,
    "unaccepted_terms": 403,
    "unaccepted_terms_error": 403,
    "quota_exceeded": 402,
    "rate_limited": 429,
    "input_error": 400,
    "invalid_request": 400,
    "chunk_size_exceeded": 400,
    "queue_overflow": 503,
    "resource_exhausted": 503,
    "transcriber_error": 500,
    "error": 500,
}


class ElevenLabsSTTSettings(Settings, prefix="ELEVENLABS_STT"):
    """How ElevenLabs Scribe listens."""

    model: str = setting(default="scribe_v2_realtime", doc="the model")
    language: str = setting(default="en", doc="ISO 639-1 or 639-3 code of the language; empty to have it found out")
    timestamps: bool = setting(default=True, doc="whether words have their times")
    no_verbatim: bool = setting(default=False, doc="whether filler words and false starts are left out")
    filter_background_audio: bool = setting(
        default=False, doc="whether voices in the background are left out; not together with timestamps"
    )
    zero_retention: bool = setting(default=False, doc="whether nothing is kept there; for enterprise accounts")


class ElevenLabsSTT(CloudSTT):
    """ElevenLabs Scribe over `/v1/speech-to-text/realtime`. µ-law goes straight through.

    The hints are its `keyterms`: at most 50 of at most 20 characters each; longer ones are left out, with a warning.
    Other ones are taken by another connection, between two segments.
    """

    vendor = _VENDOR
    accepts = tuple(_FORMATS)
    keep_alive_ms: ClassVar[int] = 5_000

    def __init__(
        self,
        settings: ElevenLabsSTTSettings | None = None,
        stt: STTSettings | None = None,
        *,
        place: Place | None = None,
        api_key: str = "",
        hints: tuple[str, ...] | list[str] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            settings or ElevenLabsSTTSettings.load(), stt, place=place, api_key=api_key, hints=hints, aliases=aliases
        )

    def load(self) -> None:
        tls()
        optional("websockets.asyncio.client", extra=self.vendor.extra, what=self.by)
        self._sdk()

    def _sdk(self) -> Any:
        return optional("elevenlabs.realtime.connection", extra=self.vendor.extra, what=self.by)

    async def open(self, format: AudioFormat, language: str) -> STTStream:
        options: ElevenLabsSTTSettings = self.options
        ping_s = self.settings.ping_ms / 1000
        given = {
            "model_id": options.model,
            "audio_format": _FORMATS[format],
            "commit_strategy": "manual",
            "language_code": language.partition("-")[0] or None,
            "include_timestamps": options.timestamps,
            "no_verbatim": options.no_verbatim or None,
            "filter_background_audio": options.filter_background_audio or None,
            "enable_logging": False if options.zero_retention else None,
            "keyterms": self._keyterms(),
        }
        query = {name: value for name, value in given.items() if value is not None} | dict(self.place.query)
        # The SDK's own `connect()` takes neither headers nor a query, and compresses: its connection is given a socket.
        socket = await sockets.connect(
            f"{self.place.websocket(self.vendor)}/v1/speech-to-text/realtime?{sockets.query(query)}",
            {"xi-api-key": self.key, **self.place.headers},
            ping_s=ping_s,
            pong_s=ping_s,
            extra=self.vendor.extra,
            what=self.by,
        )
        stream = _Scribe(self._sdk().RealtimeConnection(socket, format.rate), format, options.timestamps)
        try:
            await stream.started()
        except BaseException:
            await stream.aclose()
            raise
        return stream

    def _keyterms(self) -> list[str]:
        fitting = [hint for hint in self.hints if len(hint) <= _MOST_CHARACTERS]
        if len(fitting) < len(self.hints) or len(fitting) > _MOST_HINTS:
            _log.warning(
                "%s takes %d hints of at most %d characters: others are left out.",
                self.name,
                _MOST_HINTS,
                _MOST_CHARACTERS,
            )
        return fitting[:_MOST_HINTS]


class _Scribe(STTStream):
    def __init__(self, connection: Any, format: AudioFormat, timestamps: bool) -> None:
        self._connection = connection
        self._final = "committed_transcript_with_timestamps" if timestamps else "committed_transcript"
        self._per_ms = format.bytes_per_second / 1000
        # Something must be heard now and then, or the vendor ends the session.
        self._silence = (b"\xff" if format.encoding == "mulaw" else b"\0") * (format.bytes_per_second // 10)
        self._sent_ms = 0.0
        self._began: list[float] = []

    async def started(self) -> None:
        """Wait until the vendor has let us in: a wrong key is told in the first message."""
        while (await self._receive())["message_type"] != "session_started":
            pass

    async def begin(self, expect: ExpectFrame | None) -> None:
        self._began.append(self._sent_ms)

    async def send(self, audio: bytes) -> None:
        self._sent_ms += len(audio) / self._per_ms
        await self._connection.send({"audio_base_64": base64.b64encode(audio).decode()})

    async def finalize(self) -> None:
        await self._connection.commit()

    async def keep_alive(self) -> None:
        await self.send(self._silence)

    async def aclose(self) -> None:
        await sockets.close(self._connection.websocket)

    async def _receive(self) -> dict[str, Any]:
        """The next message. Raises for one that is an error, and for one that is none of this protocol."""
        message = json.loads(await self._connection.websocket.recv())
        if not isinstance(message, dict) or not isinstance(kind := message.get("message_type"), str):
            raise ValueError("a message without message_type")
        if kind in ("session_time_limit_exceeded", "insufficient_audio_activity"):
            raise ConnectionResetError(str(message.get("error", kind)))
        if kind in _STATUS:
            raise sockets.Refused(f"{kind}: {message.get('error', '')}", _STATUS[kind])
        return message

    async def results(self) -> AsyncGenerator[STTResult, None]:
        while True:
            message = await self._receive()
            kind = message["message_type"]
            if kind == "partial_transcript":
                if message["text"].strip():
                    yield Interim(message["text"].strip())
            elif kind == self._final:
                began = self._began.pop(0) if self._began else 0.0
                words = tuple(
                    Word(w["text"], round(w["start"] * 1000 - began), round(w["end"] * 1000 - began))
                    for w in message.get("words") or ()
                    if w.get("type", "word") == "word"
                )
                yield Final(message["text"].strip(), words=words, language=message.get("language_code") or "")
            elif kind == "commit_throttled":  # there was next to nothing to be committed
                if self._began:
                    self._began.pop(0)
                yield Final("")
