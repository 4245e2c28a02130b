"""OpenAI's transcription sessions on this machine: `/v1/realtime?intent=transcription`.

Follows developers.openai.com/api/docs/guides/realtime-transcription and the reference of the Realtime API as of
November 2026, and the messages of openai 3.52.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from .hearing import Ear, FakeRecognizer
from .server import Asked, FakeSocket

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["FakeOpenAISTT"]

_ENCODINGS = {"audio/pcm": ("linear16", 24_000), "audio/pcmu": ("mulaw", 8_000), "audio/pcma": ("alaw", 8_000)}


class FakeOpenAISTT(FakeRecognizer):
    """`OpenAISTT(place=Place(fake.url), api_key=fake.key)`."""

    def __init__(self, *, key: str = "key", part_words: int = 3) -> None:
        super().__init__(key=key, part_words=part_words)
        #: The last `session.update` on any connection.
        self.session: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"{super().url}/v1"

    def authorized(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer {self.key}"

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/realtime", self.websocket(self._realtime))

    async def _realtime(self, socket: FakeSocket) -> None:
        count = 0

        async def tell(kind: str, **more: Any) -> None:
            nonlocal count
            count += 1
            await socket.send({"type": kind, "event_id": f"event_{count}", **more})

        async def refuse(code: str, message: str) -> None:
            error = {"type": "invalid_request_error", "code": code, "message": message, "param": None, "event_id": None}
            await tell("error", error=error)

        if socket.asked.query.get("intent") != "transcription":
            await refuse("invalid_request", "this server only transcribes")
            return
        await tell(
            "session.created", session={"type": "transcription", "object": "realtime.session", "id": "sess_fake"}
        )
        ear = Ear("linear16", 24_000)
        given, committed_ms, items = 0, 0, 0
        async for message in socket.messages():
            asked = json.loads(message)
            kind = asked.get("type")
            if kind == "session.update":
                self.session = asked["session"]
                sound = self.session["audio"]["input"]
                if self.session.get("type") != "transcription" or not sound["transcription"].get("model"):
                    await refuse("invalid_value", "no session that transcribes")
                    continue
                if not ear.now_ms:
                    ear = Ear(*_ENCODINGS[sound["format"]["type"]])
                await tell("session.updated", session={**self.session, "id": "sess_fake"})
            elif kind == "input_audio_buffer.append":
                try:
                    new = ear.hear(base64.b64decode(asked["audio"], validate=True))
                except (KeyError, binascii.Error):
                    await refuse("invalid_value", "audio is not base64")
                    continue
                if new and not self.mute:
                    delta = " ".join(word.text for word in ear.words[-new:])
                    await tell(
                        "conversation.item.input_audio_transcription.delta",
                        item_id=f"item_{items}",
                        content_index=0,
                        delta=f"{delta} ",
                    )
            elif kind == "input_audio_buffer.commit":
                if ear.now_ms - committed_ms < 100:
                    await refuse(
                        "input_audio_buffer_commit_empty", "buffer too small: expected at least 100 ms of audio"
                    )
                    continue
                if self.mute:
                    continue
                ear.flush()
                item = f"item_{items}"
                await tell(
                    "input_audio_buffer.committed",
                    item_id=item,
                    previous_item_id=f"item_{items - 1}" if items else None,
                )
                items += 1
                await self.think()
                words = self.result(ear.words[given:])
                seconds = (ear.now_ms - committed_ms) / 1000
                given, committed_ms = len(ear.words), ear.now_ms
                await tell(
                    "conversation.item.input_audio_transcription.completed",
                    item_id=item,
                    content_index=0,
                    transcript=" ".join(word.text for word in words),
                    usage=_usage(self.session["audio"]["input"]["transcription"]["model"], seconds),
                )
            else:
                await refuse("invalid_value", f"unknown type {kind}")


def _usage(model: str, seconds: float) -> dict[str, Any]:
    """Models count tokens, about ten for a second of sound, but for Whisper, which counts seconds."""
    if "whisper" in model:
        return {"type": "duration", "seconds": seconds}
    heard = round(10 * seconds)
    return {
        "type": "tokens",
        "input_tokens": heard,
        "output_tokens": 2,
        "total_tokens": heard + 2,
        "input_token_details": {"audio_tokens": heard, "text_tokens": 0},
    }
