"""OpenAI's voices: `POST /v1/audio/speech`, streamed.

Follows https://platform.openai.com/docs/api-reference/audio/createSpeech and the SDK openai 3.52.0.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from ...audio import AudioFormat
from .server import Asked
from .voices_tts import FakeVoice

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["FakeOpenAITTS"]

_FORMAT: Final = AudioFormat("pcm_s16le", 24_000)


class FakeOpenAITTS(FakeVoice):
    """OpenAI's voices, in `response_format="pcm"`."""

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/audio/speech", self.answering(self._speak, content_type="audio/pcm"))

    def authorized(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer {self.key}"

    async def _speak(self, asked: Asked) -> AsyncIterator[bytes]:
        body = asked.json()
        if body["response_format"] != "pcm":
            raise ValueError("this fake makes pcm only")
        text: str = body["input"]
        self.texts.append(text)
        return self._sound(text)

    async def _sound(self, text: str) -> AsyncIterator[bytes]:
        for word in self.words(text, _FORMAT):
            await self.pause()
            yield word.audio
