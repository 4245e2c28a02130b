"""Cartesia Ink: told when a segment is over, or with turns of its own.

Sources: docs.cartesia.ai/api-reference/stt/websocket and /stt/turns/websocket, docs.cartesia.ai/use-the-api/stt/turns;
SDK cartesia 4.2.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar, Literal
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
from .stream import EagerEnd, Final, Interim, Resumed, STTResult, STTStream, TurnEnd, TurnStart
from .turn_text import TurnText

__all__ = ["CartesiaSTT", "CartesiaSTTSettings", "CartesiaTurnsSTT", "CartesiaTurnsSettings"]

_VENDOR: Constant = Vendor("cartesia", "CARTESIA_API_KEY", "cartesia", "https://api.cartesia.ai", "CARTESIA_BASE_URL")
_FORMATS: Constant = (
    PCM_16K,
    PCMU_8K,
    AudioFormat("alaw", 8_000),
    PCM_8K,
    AudioFormat("pcm_s16le", 24_000),
    AudioFormat("pcm_s16le", 48_000),
)
_ENCODINGS: Constant = {"pcm_s16le": "pcm_s16le", "mulaw": "pcm_mulaw", "alaw": "pcm_alaw"}
_SILENCE: Constant = {"pcm_s16le": b"\0", "mulaw": b"\xff", "alaw": b"\xd5"}
#: What the vendor takes: so many hints, of so many characters together.
_MOST_HINTS, _MOST_CHARACTERS = 100, 1_200


class CartesiaSTTSettings(Settings, prefix="CARTESIA_STT"):
    """How Cartesia Ink listens when the VAD says what is a segment."""

    model: str = setting(default="ink-2", doc="the model: ink-2, ink-whisper, or a dated one")
    language: str = setting(default="en", doc="ISO 639-1 code of the language")


class CartesiaTurnsSettings(Settings, prefix="CARTESIA_TURNS"):
    """How Cartesia Ink listens, and when it takes a turn for over."""

    model: str = setting(default="ink-2", doc="the model")
    language: str = setting(default="en", doc="language of the transcriptions; the model has no other")
    start_threshold: float | None = setting(
        default=None, doc="from where on speech begins a turn; none for Cartesia's own", ge=0.5, le=0.9
    )
    eager_end_threshold: float | None = setting(
        default=None, doc="under which the end is announced early; none for Cartesia's own", ge=0.3, le=0.6
    )
    end_threshold: float | None = setting(
        default=None, doc="under which the turn ends; none for Cartesia's own", ge=0.05, le=0.5
    )
    end_timeout_ms: int | None = setting(
        default=None, doc="silence that ends a turn at any rate; none for Cartesia's own", ge=640, le=11_200
    )


class _Cartesia(CloudSTT):
    vendor = _VENDOR
    accepts = _FORMATS

    def load(self) -> None:
        client = self._client()
        _ = client.stt.auto_finalize, client.stt.manual_finalize  # which are imported now

    def _client(self) -> Any:
        sdk = optional("cartesia", extra=self.vendor.extra, what=self.by)
        optional("websockets.asyncio.client", extra=self.vendor.extra, what=self.by)
        return sdk.AsyncCartesia(
            api_key=self.key,
            base_url=self.place.http(self.vendor),
            websocket_base_url=self.place.websocket(self.vendor),
            # Nothing is asked by HTTP, for which the client would make a TLS context of its own.
            http_client=sdk.DefaultAsyncHttpxClient(verify=tls()),
        )

    async def _connected(self, protocol: str, format: AudioFormat, **options: Any) -> tuple[Any, Any]:
        """A client, and a connection of it, whose socket is closed by `sockets.close`."""
        given = {name: value for name, value in options.items() if value is not None}
        if hints := self._keyterms():
            given["keyterm"] = hints
        ping_s = self.settings.ping_ms / 1000
        client = self._client()
        try:
            connection = (
                await getattr(client.stt, protocol)
                .websocket(
                    encoding=_ENCODINGS[format.encoding],
                    model=self.options.model,
                    sample_rate=format.rate,
                    extra_query=dict(self.place.query),
                    extra_headers=dict(self.place.headers),
                    websocket_connection_options=sockets.options(
                        self.place.websocket(self.vendor), ping_s=ping_s, pong_s=ping_s
                    ),
                    **given,
                )
                .enter()
            )
        except BaseException:
            await client.close()
            raise
        return client, connection

    def _keyterms(self) -> list[str]:
        found: list[str] = []
        for hint in self.hints[:_MOST_HINTS]:
            if sum(map(len, found)) + len(hint) <= _MOST_CHARACTERS:
                found.append(hint)
        return found


class CartesiaSTT(_Cartesia):
    """Cartesia Ink over `/stt/websocket`. µ-law and A-law go straight through.

    The hints are its `keyterm`s; other ones are taken by another connection, between two segments. It does not say how
    far a result covers the audio: a segment whose connection is lost is recognized anew, up to `replay_ms` of it.
    """

    # Idle connections are closed after some minutes: docs.cartesia.ai/use-the-api/concurrency-limits-and-timeouts.
    keep_alive_ms: ClassVar[int] = 30_000

    def __init__(
        self,
        settings: CartesiaSTTSettings | None = None,
        stt: STTSettings | None = None,
        *,
        place: Place | None = None,
        api_key: str = "",
        hints: tuple[str, ...] | list[str] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            settings or CartesiaSTTSettings.load(), stt, place=place, api_key=api_key, hints=hints, aliases=aliases
        )

    async def open(self, format: AudioFormat, language: str) -> STTStream:
        code = language.partition("-")[0]
        return _Manual(*await self._connected("manual_finalize", format, language=code), format)


class _Manual(STTStream):
    def __init__(self, client: Any, connection: Any, format: AudioFormat) -> None:
        self._client = client
        self._connection = connection
        self._silence = _SILENCE[format.encoding] * (format.bytes_per_second // 10)
        self._per_ms = format.bytes_per_second / 1000
        self._sent_ms = 0.0
        self._began: list[float] = []

    async def begin(self, expect: ExpectFrame | None) -> None:
        self._began.append(self._sent_ms)

    async def send(self, audio: bytes) -> None:
        self._sent_ms += len(audio) / self._per_ms
        await self._connection.send_raw(audio)

    async def finalize(self) -> None:
        await self._connection.send("finalize")

    async def keep_alive(self) -> None:
        await self.send(self._silence)

    async def aclose(self) -> None:
        await sockets.close(self._connection._connection)
        with contextlib.suppress(Exception):
            await self._client.close()

    async def results(self) -> AsyncGenerator[STTResult, None]:
        text = ""
        words: list[Any] = []
        while True:
            event = await self._connection.recv()
            kind = getattr(event, "type", None)
            if kind == "transcript":
                if not event.is_final:
                    if (text + event.text).strip():
                        yield Interim((text + event.text).strip())
                    continue
                # Pieces carry their own white space.
                text += event.text
                words += event.words or []
            elif kind == "flush_done":
                began = self._began.pop(0) if self._began else 0.0
                placed = tuple(Word(w.word, round(w.start * 1000 - began), round(w.end * 1000 - began)) for w in words)
                yield Final(text.strip(), words=placed)
                text, words = "", []
            elif kind == "error":
                raise sockets.Refused(f"{event.title}: {event.message}", event.status_code)
            elif kind == "done":
                return


class CartesiaTurnsSTT(_Cartesia):
    """Cartesia Ink over `/stt/turns/websocket`, with its own turns: for `TurnSettings(endpointing="provider")`.

    It hears all audio of the call, and needs no VAD. With one, each stretch of speech has its words soon after its end.
    """

    fed: ClassVar[Literal["speech", "always"]] = "always"
    hears_turns: ClassVar[bool] = True

    def __init__(
        self,
        settings: CartesiaTurnsSettings | None = None,
        stt: STTSettings | None = None,
        *,
        place: Place | None = None,
        api_key: str = "",
        hints: tuple[str, ...] | list[str] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            settings or CartesiaTurnsSettings.load(), stt, place=place, api_key=api_key, hints=hints, aliases=aliases
        )

    async def open(self, format: AudioFormat, language: str) -> STTStream:
        options: CartesiaTurnsSettings = self.options
        client, connection = await self._connected(
            "auto_finalize",
            format,
            turn_start_threshold=options.start_threshold,
            turn_eager_end_threshold=options.eager_end_threshold,
            turn_end_threshold=options.end_threshold,
            turn_end_timeout_ms=options.end_timeout_ms,
        )
        return _Turns(client, connection, self.settle_ms)


class _Turns(STTStream):
    def __init__(self, client: Any, connection: Any, settle_ms: float) -> None:
        self._client = client
        self._connection = connection
        self._text = TurnText(alive=lambda: sockets.alive(connection._connection), settle_ms=settle_ms)

    async def send(self, audio: bytes) -> None:
        await self._connection.send_raw(audio)

    async def finalize(self) -> None:
        self._text.ask(0)

    async def resume(self, words: int) -> None:
        self._text.resume(words)

    async def configure(self, hints: tuple[str, ...], changes: Mapping[str, Any]) -> bool:
        names = ("start_threshold", "eager_end_threshold", "end_threshold", "end_timeout_ms")
        turn = {name: value for name, value in changes.items() if name in names and value is not None}
        if not changes or len(turn) < len(changes):
            return False
        await self._connection.send({"type": "config", "turn": turn})
        return True

    async def aclose(self) -> None:
        self._text.stop()
        await sockets.close(self._connection._connection)
        with contextlib.suppress(Exception):
            await self._client.close()

    def results(self) -> AsyncGenerator[STTResult, None]:
        return self._text.read(self._connection.recv, self._understand)

    def _understand(self, event: Any) -> None:
        kind = getattr(event, "type", None)
        if kind == "turn.start":
            self._text.put(TurnStart())
        elif kind == "turn.update":
            self._text.update(event.transcript, (), 1.0, None)
        elif kind == "turn.eager_end":
            self._text.update(event.transcript, (), 1.0, None)
            self._text.put(EagerEnd(event.transcript))
        elif kind == "turn.resume":
            self._text.put(Resumed())
        elif kind == "turn.end":
            self._text.end(event.transcript, (), 1.0, None)
            self._text.put(TurnEnd(event.transcript))
        elif kind == "error":
            raise sockets.Refused(f"{event.title}: {event.message}", event.status_code)
