"""Deepgram's recognizers on this machine: `/v1/listen` (Nova) and `/v2/listen` (Flux).

Follows developers.deepgram.com/reference/speech-to-text/listen-streaming, /docs/finalize, /docs/audio-keep-alive,
/docs/flux, /docs/flux/state and /docs/flux/force-end-turn as of November 2026, and the messages of deepgram-sdk 7.17.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

from .hearing import Ear, FakeRecognizer, Heard
from .server import Asked, FakeSocket

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["FakeDeepgramSTT"]

#: Flux says something about every 250 ms of audio.
_UPDATE_MS: Final = 240
_REQUEST: Final = "00000000-0000-4000-8000-000000000001"


class FakeDeepgramSTT(FakeRecognizer):
    """`DeepgramSTT(place=Place(fake.url), api_key=fake.key)`, and `DeepgramFluxSTT`.

    eager_ms, end_ms: silence after which Flux announces the end of a turn, and ends it.
    """

    def __init__(self, *, key: str = "key", part_words: int = 3, eager_ms: int = 200, end_ms: int = 400) -> None:
        super().__init__(key=key, part_words=part_words)
        self.eager_ms = eager_ms
        self.end_ms = end_ms
        #: How long Nova takes to change its hints, and those that it was told last.
        self.configure_ms = 0
        self.keyterms: list[str] = []
        #: Which languages it hears when it is asked for `multi`.
        self.languages: list[str] = []
        self._pending: asyncio.Task[None] | None = None

    def authorized(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") in (f"Token {self.key}", f"Bearer {self.key}")

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/listen", self.websocket(self._nova))
        app.router.add_get("/v2/listen", self.websocket(self._flux))

    # -- Nova

    async def _nova(self, socket: FakeSocket) -> None:
        query = socket.asked.query
        if "model" not in query:
            await socket.close(1008, "DATA-0000")
            return
        ear = Ear(query.get("encoding", "linear16"), int(query.get("sample_rate", 16_000)))
        given = 0  # words in final results
        until_ms = 0
        async for message in socket.messages():
            if isinstance(message, bytes):
                if not message:  # Deepgram takes it for the end
                    return
                new = ear.hear(message)
                if self.mute or not new:
                    continue
                rest = ear.words[given:]
                if self.part_words and len(rest) >= self.part_words and not self.says:
                    end = rest[-1].end_ms
                    await socket.send(_results(rest, until_ms, end, final=True))
                    given, until_ms = len(ear.words), end
                elif query.get("interim_results") == "true":
                    await socket.send(_results(rest, until_ms, ear.now_ms))
                continue
            asked = json.loads(message)
            kind = asked.get("type")
            if kind in ("Finalize", "CloseStream") and not self.mute:
                ear.flush()
                rest = ear.words[given:]
                await self.think()
                # Where little is left to process there is no answer at all.
                if rest or self.says or ear.now_ms - until_ms > 500:
                    found = _results(self.result(rest), until_ms, ear.now_ms, final=True, from_finalize=True)
                    if query.get("language") == "multi":
                        found["channel"]["alternatives"][0]["languages"] = self.languages
                    await socket.send(found)
                given, until_ms = len(ear.words), ear.now_ms
            if kind == "CloseStream":
                await socket.send(_metadata(ear.now_ms))
                return
            if kind == "Configure":
                await self._configure(socket, query["model"], asked.get("keyterms"))
            elif kind not in ("Finalize", "CloseStream", "KeepAlive"):
                await socket.send(
                    {"type": "Error", "variant": "SchemaError", "description": "unknown message", "message": message}
                )

    async def _configure(self, socket: FakeSocket, model: str, keyterms: list[str] | None) -> None:
        """Nova-3 takes one change at a time, and answers each."""
        refused = ""
        if not model.startswith("nova-3"):
            refused = "CONFIGURE_KEYTERMS_NOT_SUPPORTED"
        elif sum(map(len, keyterms or ())) > 2_000:
            refused = "CONFIGURE_KEYTERM_LIMIT_EXCEEDED"
        elif self._pending is not None and not self._pending.done():
            refused = "CONFIGURE_ALREADY_PENDING"
        if refused:
            said = {"code": refused, "description": "the configuration was rejected", "request_id": _REQUEST}
            await socket.send({"type": "ConfigureFailure", **said})
        elif self.configure_ms:
            self._pending = asyncio.ensure_future(self._configured(socket, keyterms))
        else:
            await self._configured(socket, keyterms)

    async def _configured(self, socket: FakeSocket, keyterms: list[str] | None) -> None:
        await asyncio.sleep(self.configure_ms / 1000)
        self.keyterms = keyterms or []
        with contextlib.suppress(ConnectionError):
            await socket.send({"type": "ConfigureSuccess", "request_id": _REQUEST, "keyterms": self.keyterms})

    # -- Flux

    async def _flux(self, socket: FakeSocket) -> None:
        turn = _Turn(self, socket)
        await turn.send({"type": "Connected", "request_id": _REQUEST})
        async for message in socket.messages():
            if isinstance(message, bytes):
                if not self.mute:
                    await turn.hear(message)
                continue
            asked = json.loads(message)
            kind = asked.get("type")
            if kind == "ForceEndTurn":
                await turn.end("manual")
            elif kind == "Configure":
                turn.configure(asked)
                await turn.send({**asked, "type": "ConfigureSuccess", "request_id": _REQUEST, "thresholds": {}})
            elif kind == "CloseStream":
                await turn.end("timeout")
                return
            else:
                await turn.send(
                    {"type": "Error", "code": "UNPARSABLE_CLIENT_MESSAGE", "description": "unknown message"}
                )
                return


class _Turn:
    """The state of Flux on one connection."""

    def __init__(self, fake: FakeDeepgramSTT, socket: FakeSocket) -> None:
        query = socket.asked.query
        self._fake = fake
        self._socket = socket
        self._ear = Ear(query.get("encoding", "linear16"), int(query.get("sample_rate", 16_000)))
        self._threshold = float(query.get("eot_threshold", 0.7))
        self._eager = query.get("eager_eot_threshold")
        self._sequence = 0
        self._index = 0
        self._first = 0  # words before this turn
        self._open = False
        self._announced = False
        self._from_ms = 0
        self._told_ms = 0

    def configure(self, asked: dict[str, Any]) -> None:
        self._threshold = float(asked.get("thresholds", {}).get("eot_threshold", self._threshold))

    async def send(self, message: dict[str, Any]) -> None:
        await self._socket.send({**message, "sequence_id": self._sequence})
        self._sequence += 1

    async def hear(self, audio: bytes) -> None:
        ear = self._ear
        new = ear.hear(audio)
        if new and not self._open:
            self._open = True
            await self._tell("StartOfTurn")
        elif new and self._announced:
            self._announced = False
            await self._tell("TurnResumed")
        elif self._open and self._threshold < 1 and ear.silent_ms >= self._fake.end_ms:
            await self.end("model")
        elif self._open and self._eager and not self._announced and ear.silent_ms >= self._fake.eager_ms:
            self._announced = True
            await self._tell("EagerEndOfTurn")
        elif ear.now_ms - self._told_ms >= _UPDATE_MS:
            await self._tell("Update")

    async def end(self, trigger: str) -> None:
        if not self._open:
            return
        self._ear.flush()
        await self._fake.think()
        await self._tell("EndOfTurn", trigger=trigger)
        self._index += 1
        self._first = len(self._ear.words)
        self._open = self._announced = False

    async def _tell(self, event: str, **more: Any) -> None:
        words = self._ear.words[self._first :]
        if event == "EndOfTurn":
            words = self._fake.result(words)
        await self.send(
            {
                "type": "TurnInfo",
                "request_id": _REQUEST,
                "event": event,
                "turn_index": self._index,
                "audio_window_start": self._from_ms / 1000,
                "audio_window_end": self._ear.now_ms / 1000,
                "transcript": " ".join(word.text for word in words),
                "words": [
                    {"word": w.text, "confidence": 0.9, "start": w.start_ms / 1000, "end": w.end_ms / 1000}
                    for w in words
                ],
                "end_of_turn_confidence": 0.8 if "End" in event else 0.1,
                **more,
            }
        )
        self._told_ms = self._ear.now_ms


def _results(
    words: list[Heard], start_ms: int, end_ms: int, *, final: bool = False, from_finalize: bool = False
) -> dict[str, Any]:
    return {
        "type": "Results",
        "channel_index": [0, 1],
        "duration": (end_ms - start_ms) / 1000,
        "start": start_ms / 1000,
        "is_final": final,
        "speech_final": False,
        "from_finalize": from_finalize,
        "channel": {
            "alternatives": [
                {
                    "transcript": " ".join(word.text for word in words),
                    "confidence": 0.98 if words else 0.0,
                    "words": [
                        {
                            "word": w.text,
                            "start": w.start_ms / 1000,
                            "end": w.end_ms / 1000,
                            "confidence": 0.98,
                            "punctuated_word": w.text,
                        }
                        for w in words
                    ],
                }
            ]
        },
        "metadata": {
            "request_id": _REQUEST,
            "model_info": {"name": "general-nova-3", "version": "2026-01-01.0", "arch": "nova-3"},
            "model_uuid": _REQUEST,
        },
    }


def _metadata(duration_ms: int) -> dict[str, Any]:
    return {
        "type": "Metadata",
        "transaction_key": "deprecated",
        "request_id": _REQUEST,
        "sha256": "0" * 64,
        "created": "2026-11-20T00:00:00.000Z",
        "duration": duration_ms / 1000,
        "channels": 1,
    }
