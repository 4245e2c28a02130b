"""The voices of Deepgram: Aura on a WebSocket, by the official SDK.

https://developers.deepgram.com/reference/text-to-speech/speak-streaming, SDK 7.17. The socket has one buffer of text
and says nothing of words: replies are spoken one after the other, and words are placed by an estimate that learns the
pace of the voice.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from ... import sockets
from ...audio import PCM_8K, PCM_16K, PCMU_8K, AudioFormat
from ...deepgram_sdk import DEEPGRAM, load, socket_client
from ...extras import optional
from ...provider import Place, redacted, typed
from ...provider import api_key as find_key
from ...settings import setting
from .base import TTS, TTSSettings
from .cache import PromptCache
from .sockets import SocketStream
from .stream import Chunk, Done

__all__ = ["DeepgramTTS", "DeepgramTTSSettings"]

log = logging.getLogger(__name__)

_PATH = "/v1/speak"
_ENCODINGS = {"pcm_s16le": "linear16", "mulaw": "mulaw", "alaw": "alaw"}


class DeepgramTTSSettings(TTSSettings, prefix="DEEPGRAM_TTS"):
    """How Deepgram speaks."""

    voice: str = setting(default="aura-2-thalia-en", doc="the model, which is voice and language: `aura-2-thalia-en`")
    speed: float | None = setting(default=None, doc="how fast, 1 is the voice's own; Aura-2", ge=0.7, le=1.5)
    keep_out: bool = setting(default=False, doc="whether the text is kept out of the vendor's model improvement")


class DeepgramTTS(TTS):
    """Speaks by Deepgram, which the extra `deepgram` brings: µ-law straight through for telephone lines.

    settings: by default from the environment and the settings file. voice: instead of the one in them.
    api_key: by default that of `DEEPGRAM_API_KEY`. place: another URL, more headers or query parameters.

    Raises `ProviderError` (`provider.key`) if there is no key. In the lexicon, phonemes are those of the International
    Phonetic Alphabet, for the voices of Aura-2.
    """

    vendor = DEEPGRAM
    produces = (PCMU_8K, AudioFormat("alaw", 8_000), PCM_16K, PCM_8K, AudioFormat("pcm_s16le", 24_000))

    def __init__(
        self,
        settings: DeepgramTTSSettings | None = None,
        *,
        voice: str = "",
        api_key: str = "",
        place: Place | None = None,
        cache: PromptCache | None = None,
        prompts: Iterable[str] = (),
    ) -> None:
        self.settings: DeepgramTTSSettings = settings or DeepgramTTSSettings.load()
        self.voice = self.model = voice or self.settings.voice
        super().__init__(self.settings, cache=cache, prompts=prompts)
        self.place = place or Place()
        self._key = find_key(DEEPGRAM, api_key, "DeepgramTTS")

    def load(self) -> None:
        load(_PATH, "DeepgramTTS")

    async def open(self, format: AudioFormat, voice: str, language: str) -> DeepgramStream:
        query = {
            "model": voice,
            "encoding": _ENCODINGS[format.encoding],
            "sample_rate": format.rate,
            "speed": self.settings.speed,
            "mip_opt_out": self.settings.keep_out,
        }
        client, socket = await socket_client(self.place, _PATH, query, self._key, by="DeepgramTTS")
        return DeepgramStream(client, socket, format)

    def phonemes(self, word: str, sounds: str) -> str | None:
        if not self.voice.startswith("aura-2"):
            return None
        return json.dumps({"word": word, "pronounce": sounds}, ensure_ascii=False)

    def configure(self, changes: Mapping[str, Any]) -> None:
        super().configure(changes)
        self.model = self.voice


class _Turn:
    """What a reply still has to say: texts, and None for each flush."""

    __slots__ = ("asked", "flushes", "reply", "work")

    def __init__(self, reply: int) -> None:
        self.reply = reply
        self.work: deque[str | None] = deque()
        self.asked = False  # the vendor was given text that was not flushed
        self.flushes: deque[bool] = deque()  # those at the vendor: whether a Done is owed for each


class DeepgramStream(SocketStream):
    """One WebSocket of Deepgram, with one reply on it at a time.

    A reply that another one waits for is flushed where it is, and goes on behind that one.
    """

    def __init__(self, client: Any, socket: Any, format: AudioFormat) -> None:
        super().__init__(format)
        self._client = client
        self._socket = socket
        self._going = False  # somebody sends what may be sent
        self._turns: deque[_Turn] = deque()
        self._clearing = 0  # answers to Clear that are due: what comes before is of a dead reply
        types = optional("deepgram.speak.v1.types", extra="deepgram", what="DeepgramTTS")
        self._text = types.SpeakV1Text

    async def send(self, reply: int, text: str) -> None:
        if text.strip():
            self._turn(reply).work.append(text)
            await self._go_on()

    async def flush(self, reply: int) -> None:
        self._turn(reply).work.append(None)
        await self._go_on()

    async def cancel(self, reply: int) -> None:
        self.forget(reply)
        turn = next((turn for turn in self._turns if turn.reply == reply), None)
        if turn is None:
            return
        at_work = self._turns[0] is turn
        self._turns.remove(turn)
        turn.work.clear()
        if at_work and (turn.asked or turn.flushes):
            self._clearing += 1
            await self._client.send_clear()
        await self._go_on()

    def _turn(self, reply: int) -> _Turn:
        for turn in self._turns:
            if turn.reply == reply:
                return turn
        turn = _Turn(reply)
        self._turns.append(turn)
        return turn

    async def _go_on(self) -> None:
        """Send what may be sent now. One at a time does, for all."""
        if self._going:
            return
        self._going = True
        try:
            while self._turns and await self._step(self._turns[0]):
                pass
        finally:
            self._going = False

    async def _step(self, turn: _Turn) -> bool:
        """Send one message of this reply, or make room for the next. False if nothing may be sent.

        While it is sent the reply may be cancelled, or another one come.
        """
        if turn.work:
            text = turn.work.popleft()
            if text is not None:
                turn.asked = True
                await self._client.send_text(self._text(type="Speak", text=text))
            elif turn.asked:
                turn.asked = False
                turn.flushes.append(True)
                await self._client.send_flush()
            elif turn.flushes:
                turn.flushes[-1] = True
            else:
                self.give(Done(turn.reply))
            return True
        if turn.flushes:
            return False
        if turn.asked:
            if len(self._turns) == 1:
                return False
            # Its sound first, so that it cannot be mixed up with the other's.
            turn.asked = False
            turn.flushes.append(False)
            await self._client.send_flush()
            return False
        self._turns.popleft()
        return True

    async def aclose(self) -> None:
        await sockets.close(self._socket)

    async def receive(self) -> Any:
        message = await self._client.recv()
        if not isinstance(message, bytes) and self._after(message):
            await self._go_on()
        return message

    def _after(self, message: Any) -> bool:
        """Whether a message makes room for the next reply; what it says is noted."""
        if getattr(message, "type", "") != "Flushed" or self._clearing or not self._turns:
            return False
        turn = self._turns[0]
        if turn.flushes and turn.flushes.popleft():
            self.give(Done(turn.reply))
        return not turn.flushes

    def take(self, message: Any) -> None:
        if isinstance(message, bytes):
            if message and not self._clearing and self._turns:
                self.give(Chunk(self._turns[0].reply, message))
            return
        kind = getattr(message, "type", None)
        if not isinstance(kind, str):
            raise ValueError("a message has no type")
        if kind == "Cleared":
            self._clearing = max(0, self._clearing - 1)
        elif kind == "Warning":
            said = f"{getattr(message, 'description', '')} ({getattr(message, 'code', '')})"
            log.warning("deepgram: %s", redacted(said))
        elif kind == "Error":
            raise typed(
                sockets.Refused(str(getattr(message, "description", "") or message), 400), DEEPGRAM, "DeepgramTTS"
            )
