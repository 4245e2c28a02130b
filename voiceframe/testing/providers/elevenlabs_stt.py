"""ElevenLabs Scribe on this machine: `/v1/speech-to-text/realtime`.

Follows elevenlabs.io/docs/api-reference/speech-to-text/v-1-speech-to-text-realtime as of November 2026, and the
messages of elevenlabs 2.78. A wrong key is refused in a message, as the service does it.
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

__all__ = ["FakeElevenLabsSTT"]


class FakeElevenLabsSTT(FakeRecognizer):
    """`ElevenLabsSTT(place=Place(fake.url), api_key=fake.key)`."""

    def authorized(self, asked: Asked) -> bool:
        return True  # it says so on the socket

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/speech-to-text/realtime", self.websocket(self._realtime))

    async def _realtime(self, socket: FakeSocket) -> None:
        query = socket.asked.query

        async def tell(kind: str, **more: Any) -> None:
            await socket.send({"message_type": kind, **more})

        if socket.asked.headers.get("xi-api-key") != self.key:
            await tell("auth_error", error="invalid key")
            return
        encoding, _, rate = query["audio_format"].partition("_")
        ear = Ear("mulaw" if encoding == "ulaw" else "linear16", int(rate))
        timestamps = query.get("include_timestamps") == "true"
        given, told_ms = 0, 0
        await tell(
            "session_started",
            session_id="fake",
            config={
                "sample_rate": int(rate),
                "audio_format": query["audio_format"],
                "language_code": query.get("language_code"),
                "model_id": query["model_id"],
                "commit_strategy": query.get("commit_strategy", "manual"),
                "include_timestamps": timestamps,
            },
        )
        async for message in socket.messages():
            try:
                asked = json.loads(message)
                audio = base64.b64decode(asked["audio_base_64"], validate=True)
            except (ValueError, KeyError, binascii.Error) as error:
                await tell("input_error", error=str(error))
                return
            if asked.get("message_type") != "input_audio_chunk":
                await tell("invalid_request", error="unknown message_type")
                return
            new = ear.hear(audio)
            if self.mute:
                continue
            if not asked.get("commit"):
                if new:
                    await tell("partial_transcript", text=" ".join(word.text for word in ear.words[given:]))
                continue
            if ear.now_ms - told_ms < 100 and not self.says:
                await tell("commit_throttled", error="too little audio")
                continue
            ear.flush()
            await self.think()
            words = self.result(ear.words[given:])
            text = " ".join(word.text for word in words)
            given, told_ms = len(ear.words), ear.now_ms
            await tell("committed_transcript", text=text)
            if timestamps:
                await tell(
                    "committed_transcript_with_timestamps",
                    text=text,
                    language_code=query.get("language_code"),
                    words=[
                        {
                            "text": w.text,
                            "start": w.start_ms / 1000,
                            "end": w.end_ms / 1000,
                            "type": "word",
                            "logprob": -0.1,
                        }
                        for w in words
                    ],
                )
