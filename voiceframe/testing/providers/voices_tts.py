"""What the fakes of voices have in common: they speak in tones, each word in its own, as long as its letters."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

from ...audio import AudioFormat
from ...processors.tts.clips import encode
from ...tones import tone
from ...words import spans
from .server import FakeProvider, FakeSocket

__all__ = ["FakeVoice", "Spoken"]


class Spoken(NamedTuple):
    """A word with the white space in front of it, and its sound."""

    text: str
    audio: bytes
    length_ms: int


class FakeVoice(FakeProvider):
    """A voice on a port of this machine.

    key: what it takes for a valid API key. char_ms: how long it speaks for a character. pause_ms: real time between
    two words, so that something can happen in between.
    """

    def __init__(self, *, key: str = "key", char_ms: int = 62, pause_ms: int = 0) -> None:
        super().__init__(key=key)
        self.char_ms = char_ms
        self.pause_ms = pause_ms
        #: All texts that it was given to speak, in order.
        self.texts: list[str] = []
        #: What it was told to stop: ids of contexts, or what the vendor has in their place.
        self.cancelled: list[str] = []

    def words(self, text: str, format: AudioFormat) -> Iterator[Spoken]:
        """The words of a text with their sound: always the same for the same word."""
        for start, end in spans(text):
            word = text[start:end]
            if word.strip():
                length_ms = (len(word.strip()) + 1) * self.char_ms
                hertz = 300 + zlib.crc32(word.strip().encode()) % 1_200
                yield Spoken(word, encode(tone(hertz, length_ms, rate=format.rate), format), length_ms)

    def sound(self, text: str, format: AudioFormat) -> bytes:
        """All of the sound of a text."""
        return b"".join(word.audio for word in self.words(text, format))

    async def pause(self) -> None:
        """Wait, as between two words."""
        await asyncio.sleep(self.pause_ms / 1000)


@contextlib.asynccontextmanager
async def beside(coro: Any) -> AsyncIterator[None]:
    """Run a coroutine beside the block, which ends with it."""
    task = asyncio.ensure_future(coro)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await task


async def closed(socket: FakeSocket, code: int, reason: str) -> None:
    """Close with a reason, as vendors refuse what they do not like."""
    with contextlib.suppress(ConnectionError):
        await socket.close(code, reason)
