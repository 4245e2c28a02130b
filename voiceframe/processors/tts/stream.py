"""The contract between `TTS` and a voice: a stream that takes text and gives sound."""

from __future__ import annotations

import abc
import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from ...audio import AudioFormat
from ...frames import Word

__all__ = ["Chunk", "Done", "Failed", "Item", "SentenceStream", "TTSStream"]


@dataclass(slots=True, frozen=True)
class Chunk:
    """Sound of a reply, whole samples in the stream's format, as it follows what came before.

    `words` are placed in milliseconds from the start of the chunk, and may end after it. Their texts are as the voice
    has them; whoever reads the stream lays them onto the reply's text. Without any in all of a reply its words are
    placed by an estimate.
    """

    reply: int
    audio: bytes
    words: tuple[Word, ...] = ()


@dataclass(slots=True, frozen=True)
class Done:
    """All sound of what was sent before the last `flush()` of this reply has been given."""

    reply: int


@dataclass(slots=True, frozen=True)
class Failed:
    """This reply cannot be spoken, and no more comes of it; the others go on."""

    reply: int
    error: Exception


#: What a stream gives.
Item = Chunk | Done | Failed


class TTSStream(abc.ABC):
    """A voice at work: one for each call, for all of its replies, which may overlap.

    send(a) send(b) flush ──▶ Chunk … Chunk Done ──▶ send, flush … as often as a reply needs it
       └ cancel: no more of this reply, neither Chunk nor Done

    All methods are called on the call's event loop. An exception in `chunks()`, or its end, is the end of the stream:
    another one is opened, and is given what was not said yet. A reply for which `send()` or `flush()` raises ends.
    """

    #: The format of all chunks.
    format: AudioFormat

    @abc.abstractmethod
    async def send(self, reply: int, text: str) -> None:
        """Speak more of a reply. Returns when the text was taken, not when it was spoken."""

    @abc.abstractmethod
    async def flush(self, reply: int) -> None:
        """Speak all that was sent of the reply, also what does not look finished, and then give `Done`."""

    @abc.abstractmethod
    async def cancel(self, reply: int) -> None:
        """Stop speaking the reply. What has been made of it may be dropped."""

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Give back what the stream holds. Nothing else is called after it."""

    @abc.abstractmethod
    def chunks(self) -> AsyncGenerator[Item, None]:
        """What the voice makes, as it makes it. Read once, from the opening to the end.

        The reader may take its time: a voice that is faster than the caller listens must wait for it, or keep little.
        """


class SentenceStream(TTSStream):
    """A stream of a voice that is asked sentence by sentence: only `speak()` is missing.

    Sentences are spoken one after the other, in the order in which they were sent.
    """

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self._work: deque[tuple[int, str | None]] = deque()  # None: `flush()`
        self._more = asyncio.Event()
        self._speaking = 0
        self._step: asyncio.Task[Chunk | None] | None = None  # waits for the next chunk

    @abc.abstractmethod
    def speak(self, reply: int, text: str) -> AsyncGenerator[Chunk, None]:
        """The sound of one sentence."""

    async def send(self, reply: int, text: str) -> None:
        self._work.append((reply, text))
        self._more.set()

    async def flush(self, reply: int) -> None:
        self._work.append((reply, None))
        self._more.set()

    async def cancel(self, reply: int) -> None:
        self._work = deque(work for work in self._work if work[0] != reply)
        if self._speaking == reply:
            self._speaking = 0
            if self._step is not None:  # it may wait for a provider that has nothing to say
                self._step.cancel()

    async def aclose(self) -> None:
        self._work.clear()

    async def chunks(self) -> AsyncGenerator[Item, None]:
        while True:
            while not self._work:
                self._more.clear()
                await self._more.wait()
            reply, text = self._work.popleft()
            if text is None:
                yield Done(reply)
                continue
            self._speaking = reply
            sound = self.speak(reply, text)
            try:
                while (chunk := await self._next(sound)) is not None:
                    yield chunk
                    if self._speaking != reply:
                        break
            finally:
                await sound.aclose()
                self._speaking = 0

    async def _next(self, sound: AsyncGenerator[Chunk, None]) -> Chunk | None:
        """The next chunk of a sentence; None at its end, and as soon as its reply is cancelled."""
        self._step = step = asyncio.ensure_future(_step(sound))
        try:
            await asyncio.wait([step])
        finally:
            self._step = None
            if not step.done():
                step.cancel()
                await asyncio.wait([step])
        return None if step.cancelled() else step.result()


async def _step(sound: AsyncGenerator[Chunk, None]) -> Chunk | None:
    return await anext(sound, None)
