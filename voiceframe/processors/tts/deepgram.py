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

from ...audio import PCM_8K, PCM_16K, PCMU_8K, AudioFormat
from ...deepgram_sdk import DEEPGRAM, Socket, client
from ...extras import optional
from ...provider import Place, typed
from ...provider import api_key as find_key
from ...settings import setting
from .base import TTS, TTSSettings
from .cache import PromptCache
from .sockets import Refused, SocketStream
from .stream import Chunk, Done

__all__ = ["DeepgramTTS", "DeepgramTTSSettings"]

log = logging.getLogger(__name__)

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
        self._client: Any = None

    async def open(self, format: AudioFormat, voice: str, language: str) -> DeepgramStream:
        if self._client is None:
            self._client = await self.offload(lambda: client(self._key, self.place, what="DeepgramTTS"))
        settings = self.settings
        query = {"speed": settings.speed, "mip_opt_out": "true" if settings.keep_out else None}
        connecting = self._client.speak.v1.connect(
            model=voice,
            encoding=_ENCODINGS[format.encoding],
            sample_rate=format.rate,
            request_options={
                "additional_headers": dict(self.place.headers),
                "additional_query_parameters": {
                    **{name: value for name, value in query.items() if value is not None},
                    **self.place.query,
                },
            },
        )
        return DeepgramStream(await Socket.open(connecting), format)

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

    def __init__(self, socket: Socket, format: AudioFormat) -> None:
        super().__init__(format)
        self._socket = socket
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
        if at_work and (turn.asked or turn.flushes):
            self._clearing += 1
            await self._socket.sdk.send_clear()
        await self._go_on()

    def _turn(self, reply: int) -> _Turn:
        for turn in self._turns:
            if turn.reply == reply:
                return turn
        turn = _Turn(reply)
        self._turns.append(turn)
        return turn

    async def _go_on(self) -> None:
        """Send what may be sent now."""
        while self._turns:
            turn = self._turns[0]
            while turn.work:
                text = turn.work.popleft()
                if text is not None:
                    turn.asked = True
                    await self._socket.sdk.send_text(self._text(type="Speak", text=text))
                elif turn.asked:
                    turn.asked = False
                    turn.flushes.append(True)
                    await self._socket.sdk.send_flush()
                elif turn.flushes:
                    turn.flushes[-1] = True
                else:
                    self.give(Done(turn.reply))
            if turn.flushes:
                return
            waits = len(self._turns) > 1
            if turn.asked:
                if waits:  # its sound first, so that it cannot be mixed up with the other's
                    turn.asked = False
                    turn.flushes.append(False)
                    await self._socket.sdk.send_flush()
                return
            self._turns.popleft()

    async def aclose(self) -> None:
        await self._socket.aclose()

    async def receive(self) -> Any:
        message = await self._socket.sdk.recv()
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
            log.warning("deepgram: %s (%s)", getattr(message, "description", ""), getattr(message, "code", ""))
        elif kind == "Error":
            raise typed(Refused(str(getattr(message, "description", "") or message), 400), DEEPGRAM, "DeepgramTTS")
