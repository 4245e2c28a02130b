"""Cartesia's recognizer on this machine: `/stt/websocket` (manual) and `/stt/turns/websocket` (turns).

Follows docs.cartesia.ai/api-reference/stt/websocket and /stt/turns/websocket as of November 2026, and the messages of
cartesia 4.2 (API version 2026-08-14).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from .hearing import Ear, FakeRecognizer
from .server import Asked, FakeSocket

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["FakeCartesiaSTT"]

_REQUEST: Final = "00000000-0000-4000-8000-000000000002"


class FakeCartesiaSTT(FakeRecognizer):
    """`CartesiaSTT(place=Place(fake.url), api_key=fake.key)`, and `CartesiaTurnsSTT`.

    eager_ms, end_ms: silence after which it announces the end of a turn, and ends it.
    """

    def __init__(self, *, key: str = "key", part_words: int = 3, eager_ms: int = 200, end_ms: int = 400) -> None:
        super().__init__(key=key, part_words=part_words)
        self.eager_ms = eager_ms
        self.end_ms = end_ms

    def authorized(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer {self.key}" and "cartesia-version" in asked.headers

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/stt/websocket", self.websocket(self._manual))
        app.router.add_get("/stt/turns/websocket", self.websocket(self._turns))

    async def _manual(self, socket: FakeSocket) -> None:
        ear = _ear(socket)
        given = 0

        async def tell(words: list[str], final: bool) -> None:
            text = "".join(f" {word}" for word in words)
            await socket.send({"type": "transcript", "request_id": _REQUEST, "text": text, "is_final": final})

        async for message in socket.messages():
            if isinstance(message, bytes):
                if ear.hear(message) and not self.mute:
                    rest = [word.text for word in ear.words[given:]]
                    final = bool(self.part_words) and len(rest) >= self.part_words and not self.says
                    await tell(rest, final)
                    given += len(rest) if final else 0
            elif message in ("finalize", "close"):
                ear.flush()
                if not self.mute:
                    await self.think()
                    rest = [word.text for word in self.result(ear.words[given:])]
                    if rest:
                        await tell(rest, True)
                    await socket.send(
                        {"type": "flush_done" if message == "finalize" else "done", "request_id": _REQUEST}
                    )
                given = len(ear.words)
                if message == "close":
                    return
            else:
                await socket.send(_error(400, "Bad request", f"unknown command {message}"))
                return

    async def _turns(self, socket: FakeSocket) -> None:
        ear = _ear(socket)
        first, started, announced = 0, False, False

        async def tell(kind: str, **more: Any) -> None:
            await socket.send({"type": kind, "request_id": _REQUEST, **more})

        await tell("connected")
        async for message in socket.messages():
            if isinstance(message, str):
                command = json.loads(message)
                if command.get("type") == "close":
                    return
                if command.get("type") != "config":
                    await socket.send(_error(400, "Bad request", "unknown command"))
                    return
                continue
            new = ear.hear(message)
            if self.mute:
                continue
            text = " ".join(word.text for word in ear.words[first:])
            if new:
                if not started:
                    started = True
                    await tell("turn.start")
                elif announced:
                    announced = False
                    await tell("turn.resume")
                await tell("turn.update", transcript=text)
            elif started and ear.silent_ms >= self.end_ms:
                await self.think()
                text = " ".join(word.text for word in self.result(ear.words[first:]))
                await tell("turn.end", transcript=text)
                first, started, announced = len(ear.words), False, False
            elif started and not announced and ear.silent_ms >= self.eager_ms:
                announced = True
                await tell("turn.eager_end", transcript=text)


def _ear(socket: FakeSocket) -> Ear:
    query = socket.asked.query
    return Ear(query["encoding"], int(query["sample_rate"]))


def _error(status: int, title: str, message: str) -> dict[str, Any]:
    return {"type": "error", "status_code": status, "title": title, "message": message, "request_id": _REQUEST}
