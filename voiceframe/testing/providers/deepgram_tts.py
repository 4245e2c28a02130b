"""Deepgram's voices: `/v1/speak` on a WebSocket.

Follows https://developers.deepgram.com/reference/text-to-speech/speak-streaming, the pages on Flush, Clear and Close of
https://developers.deepgram.com/docs/tts-websocket, and the SDK deepgram-sdk 7.17.0.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from ...audio import AudioFormat
from .server import Asked, FakeSocket
from .voices_tts import FakeVoice, beside, closed

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["FakeDeepgramTTS"]

_ENCODINGS: Final = {"linear16": "pcm_s16le", "mulaw": "mulaw", "alaw": "alaw"}
_ENDS: Final = ".!?"
_MOST_CHARS: Final = 2_000


class FakeDeepgramTTS(FakeVoice):
    """Deepgram's voices. Text is spoken at the end of a sentence, or when it is flushed."""

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/speak", self.websocket(self._talk))

    def authorized(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Token {self.key}"

    async def _talk(self, socket: FakeSocket) -> None:
        query = socket.asked.query
        format = AudioFormat(_ENCODINGS[query["encoding"]], int(query["sample_rate"]))
        await socket.send(
            {
                "type": "Metadata",
                "request_id": "00000000-0000-4000-8000-000000000001",
                "model_name": query["model"],
                "model_version": "2026-01-01.0",
                "model_uuid": "00000000-0000-4000-8000-000000000002",
            }
        )
        work: asyncio.Queue[str | None] = asyncio.Queue()
        state = _State()
        async with beside(self._speak(socket, work, state, format)):
            async for message in socket.messages():
                event: dict[str, Any] = json.loads(message)
                kind = event["type"]
                if kind == "Speak":
                    if len(event["text"]) > _MOST_CHARS:
                        await closed(socket, 1008, "DATA-0000")
                        return
                    self.texts.append(event["text"])
                    state.buffer += event["text"]
                    end = 1 + max(state.buffer.rfind(mark) for mark in _ENDS)
                    if end:
                        work.put_nowait(state.buffer[:end])
                        state.buffer = state.buffer[end:]
                elif kind == "Flush":
                    if state.buffer:
                        work.put_nowait(state.buffer)
                        state.buffer = ""
                    work.put_nowait(None)
                elif kind == "Clear":
                    self.cancelled.append("")
                    state.buffer = ""
                    state.cleared += 1
                    while not work.empty():
                        work.get_nowait()
                    await socket.send({"type": "Cleared", "sequence_id": state.sequence()})
                elif kind == "Close":
                    return
                else:
                    await socket.send({"type": "Warning", "description": f"unknown {kind}", "code": "UNKNOWN"})

    async def _speak(
        self, socket: FakeSocket, work: asyncio.Queue[str | None], state: _State, format: AudioFormat
    ) -> None:
        while True:
            text = await work.get()
            cleared = state.cleared
            if text is None:
                await socket.send({"type": "Flushed", "sequence_id": state.sequence()})
                continue
            for word in self.words(text, format):
                await self.pause()
                if state.cleared != cleared:
                    break
                await socket.send(word.audio)


class _State:
    def __init__(self) -> None:
        self.buffer = ""
        self.cleared = 0
        self._number = -1

    def sequence(self) -> int:
        self._number += 1
        return self._number
