"""Streams of voices that answer on a WebSocket: what comes is read ahead, and laid out by reply."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import math
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any, Final

from ...audio import AudioFormat
from ...frames import Word
from .stream import Chunk, Done, Item, TTSStream

__all__ = ["Context", "ContextStream", "SocketStream"]

#: How much sound is read ahead of the caller, in seconds. More than that waits in the socket.
AHEAD_S: Final = 60


class SocketStream(TTSStream):
    """A stream that reads a socket: `receive()` gives the next message, `take()` says what it means by `give()`.

    The socket is read while the caller still listens to what came before, so that errors and the end of a reply are
    known when they happen, and a vendor need not wait.
    """

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self._items: deque[Item] = deque()
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._ahead = 0  # bytes of sound in `_items`
        self._most = AHEAD_S * format.bytes_per_second
        self._over = False
        self._error: Exception | None = None

    @abc.abstractmethod
    async def receive(self) -> Any:
        """The next message. Raises what the socket raises when there will be none."""

    @abc.abstractmethod
    def take(self, message: Any) -> None:
        """Deal with a message: `give()` what it brings. An exception is the end of the stream."""

    def give(self, item: Item) -> None:
        """Let the reader have this."""
        self._items.append(item)
        if type(item) is Chunk:
            self._ahead += len(item.audio)
        self._more.set()

    def forget(self, reply: int) -> None:
        """What has come of this reply and was not read yet is dropped."""
        self._items = deque(item for item in self._items if item.reply != reply)
        self._ahead = sum(len(item.audio) for item in self._items if isinstance(item, Chunk))
        self._room.set()

    async def chunks(self) -> AsyncGenerator[Item, None]:
        reader = asyncio.create_task(self._read(), name="reads the voice")
        try:
            while True:
                while self._items:
                    item = self._items.popleft()
                    if type(item) is Chunk:
                        self._ahead -= len(item.audio)
                        self._room.set()
                    yield item
                if self._over:
                    if self._error is not None:
                        raise self._error
                    return
                self._more.clear()
                await self._more.wait()
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    async def _read(self) -> None:
        try:
            while True:
                self.take(await self.receive())
                while self._ahead > self._most:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:
            self._error = error
        finally:
            self._over = True
            self._more.set()


class Context:
    """One stretch of a reply at the vendor, which knows it by `id`."""

    __slots__ = ("ended", "flushed", "held", "id", "over", "partial", "position_ms", "reply", "touched_s", "words")

    def __init__(self, id: str, reply: int, now_s: float) -> None:
        self.id = id
        self.reply = reply
        self.ended = False  # the vendor was told that no more text comes
        self.flushed = False  # a Done is owed
        self.over = False  # the vendor has given all
        self.position_ms = 0.0  # of the sound that has come
        self.words: deque[Word] = deque()  # whose sound has not come yet, in time of the context
        self.partial: list[tuple[str, int, int]] = []  # letters of a word that is not whole yet
        self.held: list[Item] = []  # what has come before its turn
        self.touched_s = now_s  # when text was sent or sound came


class ContextStream(SocketStream):
    """A stream of a vendor that has contexts: several texts at once on one socket, each with its own sound.

        send send flush ──▶ begin push push end ──▶ sound … finished ──▶ Chunk … Done

    A reply has one context from its first text to the next flush. Should the vendor close it meanwhile, what follows
    has a new one, and comes behind it.
    """

    #: How long a context may lie still before another one is begun, in seconds.
    lasts_s: float = math.inf

    def __init__(self, format: AudioFormat) -> None:
        super().__init__(format)
        self._loop = asyncio.get_running_loop()
        self._contexts: dict[str, Context] = {}
        self._replies: dict[int, deque[Context]] = {}
        self._number = 0

    @abc.abstractmethod
    async def push(self, context: Context, text: str, first: bool) -> None:
        """Send text of a context. first: it is its first."""

    @abc.abstractmethod
    async def end(self, context: Context) -> None:
        """Say that no more text comes, and that all of it is to be spoken."""

    @abc.abstractmethod
    async def drop(self, context: Context) -> None:
        """Say that nothing more of the context is wanted."""

    def find(self, id: object) -> Context | None:
        """The living context that the vendor knows by `id`; None for one that was dropped."""
        return self._contexts.get(id) if isinstance(id, str) else None

    def sound(self, context: Context, audio: bytes) -> None:
        """More sound of a context has come: whole samples."""
        before = context.position_ms
        context.position_ms = after = before + len(audio) * 1000 / self.format.bytes_per_second
        words = context.words
        due: tuple[Word, ...] = ()
        if words and words[0].end_ms <= after + 1:  # vendors round
            found: list[Word] = []
            while words and words[0].end_ms <= after + 1:
                word = words.popleft()
                found.append(
                    Word(word.text, max(0, round(word.start_ms - before)), max(0, round(word.end_ms - before)))
                )
            due = tuple(found)
        context.touched_s = self._loop.time()
        self._emit(context, Chunk(context.reply, audio, due))

    def finished(self, context: Context) -> None:
        """All sound of a context has come."""
        if context.words:
            self._emit(context, Chunk(context.reply, b"", tuple(Word(word.text, 0, 0) for word in context.words)))
            context.words.clear()
        context.over = True
        self._advance(context.reply)

    def gone(self, reply: int) -> None:
        """Nothing more comes of a reply: forget what is known of it."""
        for context in self._replies.pop(reply, ()):
            self._contexts.pop(context.id, None)

    async def send(self, reply: int, text: str) -> None:
        if not text.strip():
            return
        contexts = self._replies.setdefault(reply, deque())
        context = contexts[-1] if contexts else None
        now_s = self._loop.time()
        if context is not None and not context.over and not context.ended and now_s - context.touched_s > self.lasts_s:
            context.ended = True
            await self.end(context)
        first = context is None or context.ended or context.over
        if context is None or first:
            self._number += 1
            context = Context(f"{reply}-{self._number}", reply, now_s)
            self._contexts[context.id] = context
            contexts.append(context)
            self._advance(reply)
        context.touched_s = now_s
        await self.push(context, text, first)

    async def flush(self, reply: int) -> None:
        contexts = self._replies.get(reply)
        if not contexts:
            self.give(Done(reply))
            return
        context = contexts[-1]
        context.flushed = True
        if context.over:
            self._advance(reply)
        elif not context.ended:
            context.ended = True
            await self.end(context)

    async def cancel(self, reply: int) -> None:
        contexts = self._replies.get(reply, ())
        self.gone(reply)
        self.forget(reply)
        for context in contexts:
            if not context.over:
                await self.drop(context)

    def _emit(self, context: Context, item: Item) -> None:
        contexts = self._replies.get(context.reply)
        if contexts and contexts[0] is context:
            self.give(item)
        else:
            context.held.append(item)

    def _advance(self, reply: int) -> None:
        contexts = self._replies.get(reply)
        while contexts and contexts[0].over and (contexts[0].flushed or len(contexts) > 1):
            context = contexts.popleft()
            self._contexts.pop(context.id, None)
            if context.flushed:
                self.give(Done(reply))
            if contexts:
                for item in contexts[0].held:
                    self.give(item)
                contexts[0].held.clear()
        if contexts is not None and not contexts:
            del self._replies[reply]
