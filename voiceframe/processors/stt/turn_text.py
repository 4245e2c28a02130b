"""The text of a vendor's turns, cut into the segments that the VAD finds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

from ...frames import Word
from .stream import Final, Interim, STTResult

__all__ = ["TurnText"]


class TurnText:
    """A vendor with turns of its own gives their text anew with each message, and does not ask where speech has ended.

    update("I'd like") ─▶ Interim       ask() ─▶ Final("I'd like")      as soon as the vendor has come so far
    update("I'd like to book") ─▶ Interim("to book")     end("I'd like to book.") ─▶ Final("to book.")

    Words that were given as final are never given again. They are counted; where the vendor changes its mind about
    earlier ones, the text of the whole turn (`TurnEnd`) is right and that of the segments is not.

    alive: raises when the connection is not, which is asked when nothing has come for a segment.
    settle_ms: how long the words of a segment may take after its end when the vendor does not say how far it has come.
    until_end: a segment is answered by the end of its turn, if one has begun: the vendor was told to end it.
    """

    def __init__(self, *, alive: Callable[[], Awaitable[None]], settle_ms: float, until_end: bool = False) -> None:
        self._alive = alive
        self._settle_s = settle_ms / 1000
        self._until_end = until_end
        self._results: asyncio.Queue[STTResult | Exception] = asyncio.Queue()
        self._asked: deque[float] = deque()  # where the segments that are over end
        self._text = ""
        self._words: Sequence[Word] = ()
        self._confidence = 1.0
        self._given = 0  # words of this turn
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None

    def resume(self, words: int) -> None:
        """So many words of the turn that begins were given before."""
        self._given = words

    def put(self, result: STTResult) -> None:
        self._results.put_nowait(result)

    def fail(self, error: Exception) -> None:
        self.stop()
        self._results.put_nowait(error)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asking is not None and self._asking is not asyncio.current_task():
            self._asking.cancel()
            self._asking = None

    async def results(self) -> AsyncGenerator[STTResult, None]:
        while True:
            result = await self._results.get()
            if isinstance(result, Exception):
                raise result
            yield result

    async def read(
        self, receive: Callable[[], Awaitable[Any]], understand: Callable[[Any], None]
    ) -> AsyncGenerator[STTResult, None]:
        """What comes of the vendor's messages: `understand` is given each, and what it raises ends the stream."""
        reader = asyncio.ensure_future(self._read(receive, understand))
        try:
            async for result in self.results():
                yield result
        finally:
            reader.cancel()

    async def _read(self, receive: Callable[[], Awaitable[Any]], understand: Callable[[Any], None]) -> None:
        try:
            while True:
                understand(await receive())
        except Exception as error:
            self.fail(error)

    def ask(self, at_ms: float) -> None:
        """A segment is over, at this place of the audio: its words are wanted."""
        self._asked.append(at_ms)
        self._await()

    def update(self, text: str, words: Sequence[Word], confidence: float, until_ms: float | None) -> None:
        """The turn so far, and how far the audio was understood."""
        self._text, self._words, self._confidence = text, words, confidence
        rest = self._rest()
        if rest:
            self.put(Interim(rest, confidence))
        if self._until_end and text:
            return
        while self._asked and until_ms is not None and until_ms >= self._asked[0]:
            self._answer()

    def end(self, text: str, words: Sequence[Word], confidence: float, until_ms: float | None) -> None:
        """The turn is over, with this text."""
        self._text, self._words, self._confidence = text, words, confidence
        if self._asked and (until_ms is None or self._until_end or until_ms >= self._asked[0]):
            self._answer()
        elif self._rest():
            self.put(self._final(last=False))
        self._text, self._words, self._given = "", (), 0

    def _rest(self) -> str:
        return " ".join(self._text.split()[self._given :])

    def _final(self, *, last: bool) -> Final:
        text = self._rest()
        count = len(self._text.split())
        words = tuple(self._words[self._given :]) if len(self._words) == count else ()
        self._given = count
        return Final(text, self._confidence if text else 1.0, words, last=last)

    def _answer(self) -> None:
        self._asked.popleft()
        self.put(self._final(last=True))
        self._await()

    def _await(self) -> None:
        self.stop()
        if self._asked:
            self._timer = asyncio.get_running_loop().call_later(self._settle_s, self._settled)

    def _settled(self) -> None:
        self._timer = None
        self._asking = asyncio.ensure_future(self._settle())

    async def _settle(self) -> None:
        """Nothing has come: because there was nothing more to come, or because the connection is half-open."""
        try:
            await self._alive()
        except Exception as error:
            self._results.put_nowait(error)
            return
        if self._asked:
            self._answer()
