"""Cartesia's voices: `/tts/websocket` with contexts.

Follows https://docs.cartesia.ai/api-reference/tts/websocket (version 2026-03-01 and later) and the SDK cartesia 4.2.0.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any, Final

from ...audio import AudioFormat
from .server import Asked, FakeSocket
from .voices_tts import FakeVoice, beside

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["FakeCartesiaTTS"]

_ENCODINGS: Final = {"pcm_s16le": "pcm_s16le", "pcm_mulaw": "mulaw", "pcm_alaw": "alaw"}


class FakeCartesiaTTS(FakeVoice):
    """Cartesia's voices. The times of a transcript's words come before its sound.

    expires_ms: a context that was not finished is over so long after its last sound.
    refuses: a transcript with this in it is answered by an error of its context.
    """

    expires_ms = 1_000
    refuses = "\0"

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/tts/websocket", self.websocket(self._talk))

    def authorized(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer {self.key}" and "cartesia-version" in asked.headers

    async def _talk(self, socket: FakeSocket) -> None:
        contexts: dict[str, _Context] = {}
        work: asyncio.Queue[tuple[_Context, dict[str, Any]]] = asyncio.Queue()
        async with beside(self._speak(socket, work, contexts)):
            async for message in socket.messages():
                event = json.loads(message)
                id = event["context_id"]
                if event.get("cancel"):
                    self.cancelled.append(id)
                    if id in contexts:
                        contexts.pop(id).cancelled = True
                    continue
                wrong = self._wrong(event, contexts.get(id))
                if wrong:
                    await socket.send(_error(id, 400, wrong))
                    continue
                context = contexts.setdefault(id, _Context(id, event))
                work.put_nowait((context, event))

    def _wrong(self, event: dict[str, Any], known: _Context | None) -> str:
        for name in ("model_id", "voice", "output_format", "transcript"):
            if name not in event:
                return f"{name} is missing"
        if known is not None and any(
            event[name] != known.first[name] for name in ("model_id", "voice", "output_format")
        ):
            return "all inputs of a context must have the same settings"
        if self.refuses in event["transcript"]:
            return "the transcript is not allowed"
        return ""

    async def _speak(
        self, socket: FakeSocket, work: asyncio.Queue[tuple[_Context, dict[str, Any]]], contexts: dict[str, _Context]
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            waiting = [context for context in contexts.values() if context.quiet_since_s]
            limit = min((context.quiet_since_s + self.expires_ms / 1000 for context in waiting), default=None)
            try:
                async with asyncio.timeout_at(limit):
                    context, event = await work.get()
            except TimeoutError:
                for expired in [one for one in waiting if one.quiet_since_s + self.expires_ms / 1000 <= loop.time()]:
                    await self._done(socket, expired, contexts)
                continue
            if context.cancelled:
                continue
            await self._say(socket, context, event)
            context.quiet_since_s = loop.time() if context.position_ms else 0.0
            if not event.get("continue") and not context.cancelled:
                await self._done(socket, context, contexts)

    async def _say(self, socket: FakeSocket, context: _Context, event: dict[str, Any]) -> None:
        output = event["output_format"]
        format = AudioFormat(_ENCODINGS[output["encoding"]], output["sample_rate"])
        text = event["transcript"]
        if text:
            self.texts.append(text)
        head = {"context_id": context.id, "status_code": 206, "done": False}
        words = list(self.words(text, format))
        if words and event.get("add_timestamps"):
            times: dict[str, list[Any]] = {"words": [], "start": [], "end": []}
            begin = context.position_ms
            for word in words:
                times["words"].append(word.text.strip())
                times["start"].append(begin / 1000)
                begin += word.length_ms
                times["end"].append(begin / 1000)
            await socket.send({"type": "timestamps", **head, "word_timestamps": times})
        for word in words:
            await self.pause()
            if context.cancelled:
                return
            context.position_ms += word.length_ms
            data = base64.b64encode(word.audio).decode()
            await socket.send({"type": "chunk", **head, "data": data, "step_time": 1.0})

    async def _done(self, socket: FakeSocket, context: _Context, contexts: dict[str, _Context]) -> None:
        contexts.pop(context.id, None)
        context.cancelled = True
        await socket.send({"type": "done", "context_id": context.id, "status_code": 206, "done": True})


class _Context:
    def __init__(self, id: str, first: dict[str, Any]) -> None:
        self.id = id
        self.first = first
        self.position_ms = 0
        self.quiet_since_s = 0.0
        self.cancelled = False


def _error(id: str, status: int, message: str) -> dict[str, Any]:
    return {
        "type": "error",
        "context_id": id,
        "status_code": status,
        "done": True,
        "title": "Invalid request",
        "message": message,
        "error_code": "invalid_request",
    }
