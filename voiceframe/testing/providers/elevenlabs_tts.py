"""ElevenLabs' voices: `/v1/text-to-speech/{voice}/multi-stream-input`.

Follows https://elevenlabs.io/docs/api-reference/text-to-speech/v-1-text-to-speech-voice-id-multi-stream-input and the
messages of the SDK elevenlabs 2.78.0 (`WebsocketTtsClientMessageMulti`, `WebsocketTtsServerMessageMulti`).
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any, Final

from ...audio import AudioFormat
from .server import Asked, FakeSocket
from .voices_tts import FakeVoice, beside, closed

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["FakeElevenLabsTTS"]

_ENCODINGS: Final = {"pcm": "pcm_s16le", "ulaw": "mulaw", "alaw": "alaw"}
_MOST_CONTEXTS: Final = 5


class FakeElevenLabsTTS(FakeVoice):
    """ElevenLabs' voices.

    voices: the ids that it has; the socket of another one is refused as the vendor does, by a message and a close.
    idle_ms: the socket is closed when nothing has come for so long; by default as the client asks for.
    whole: whether a message has a whole word in it, or words end where they like.
    """

    voices = ("JBFqnCBsd6RMkjVDRZzb", "other")
    idle_ms: int | None = None
    whole = True

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/text-to-speech/{voice}/multi-stream-input", self.websocket(self._talk))

    def authorized(self, asked: Asked) -> bool:
        return asked.headers.get("xi-api-key") == self.key

    async def _talk(self, socket: FakeSocket) -> None:
        query = socket.asked.query
        voice = socket.asked.path.split("/")[3]
        if voice not in self.voices:
            await socket.send({"message": f"A voice {voice} does not exist.", "error": "voice_id_does_not_exist"})
            await closed(socket, 1008, "voice_id_does_not_exist")
            return
        encoding, _, rate = query["output_format"].partition("_")
        format = AudioFormat(_ENCODINGS[encoding], int(rate))
        idle_ms = self.idle_ms or int(query.get("inactivity_timeout", "20")) * 1000
        living: dict[str, bool] = {}
        work: asyncio.Queue[tuple[str, str | None]] = asyncio.Queue()
        async with beside(self._speak(socket, work, living, format)):
            while True:
                try:
                    async with asyncio.timeout(idle_ms / 1000):
                        message = await socket.receive()
                except TimeoutError:
                    await closed(socket, 1008, "input_timeout_exceeded")
                    return
                if message is None:
                    return
                event = json.loads(message)
                if event.get("close_socket"):
                    return
                wrong = self._take(event, living, work)
                if wrong:
                    await socket.send({"message": wrong, "error": wrong})
                    await closed(socket, 1008, wrong)
                    return

    def _take(self, event: dict[str, Any], living: dict[str, bool], work: asyncio.Queue[tuple[str, str | None]]) -> str:
        id = event.get("context_id", "default")
        text = event.get("text")
        if event.get("close_context"):
            if not living.get(id):  # it was not flushed: nothing more of it is made
                self.cancelled.append(id)
                living.pop(id, None)
            work.put_nowait((id, None))
            return ""
        if id not in living:
            if text != " ":
                return "the first message of a context must be a single space"
            if len(living) >= _MOST_CONTEXTS:
                return "max_concurrent_contexts_exceeded"
            living[id] = False
        if text is not None and text.strip():
            if not text.endswith(" "):
                return "text must end with a space"
            self.texts.append(text)
            work.put_nowait((id, text))
        if event.get("flush"):
            living[id] = True
        return ""

    async def _speak(
        self,
        socket: FakeSocket,
        work: asyncio.Queue[tuple[str, str | None]],
        living: dict[str, bool],
        format: AudioFormat,
    ) -> None:
        while True:
            id, text = await work.get()
            if text is None:
                living.pop(id, None)
                await socket.send({"isFinal": True, "contextId": id})
                continue
            for word in self.words(text, format):
                for piece in self._pieces(word.text.strip(), word.audio, word.length_ms, format):
                    await self.pause()
                    if id not in living:
                        break
                    await socket.send({**piece, "isFinal": None, "contextId": id})

    def _pieces(self, word: str, audio: bytes, length_ms: int, format: AudioFormat) -> list[dict[str, Any]]:
        """A word as messages: one, or two of which none has all of it."""
        halves = [(f"{word} ", audio)]
        if not self.whole and len(word) > 1:
            middle = len(word) // 2
            cut = len(audio) * middle // (len(word) + 1) // 2 * 2
            halves = [(word[:middle], audio[:cut]), (f"{word[middle:]} ", audio[cut:])]
        found = []
        for letters, sound in halves:
            step = len(sound) * 1000 // format.bytes_per_second // len(letters)
            times = {
                "chars": list(letters),
                "charStartTimesMs": [step * index for index in range(len(letters))],
                "charDurationsMs": [step] * len(letters),
            }
            data = base64.b64encode(sound).decode()
            found.append({"audio": data, "alignment": times, "normalizedAlignment": times})
        return found
