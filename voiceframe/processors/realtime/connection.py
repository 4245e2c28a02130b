"""The connection of a `Realtime` to its vendor: made, kept, made again, and replaced when it is old.

open ──▶ told what was ──▶ serves ──▶ lost: another one, by `Backoff`
                              └──▶ old, and nobody speaks: another one
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING

from ...errors import ProviderError
from ...events import ProviderConnected, ProviderLost
from ...provider import Backoff, typed
from .ears import resume
from .stream import RealtimeEvent, RealtimeStream

if TYPE_CHECKING:
    from .base import Realtime

__all__ = ["Connection"]


class Connection:
    """All streams of a call, one after the other. Everything that one is told goes through here, in order."""

    def __init__(self, owner: Realtime) -> None:
        self._owner = owner
        #: The stream, while it is of use.
        self.stream: RealtimeStream | None = None
        self._held: RealtimeStream | None = None  # until it is closed
        self._out: deque[Callable[[RealtimeStream], Awaitable[None]]] = deque()  # what it is to be told
        self._more = asyncio.Event()  # something is to be sent
        self._down = asyncio.Event()  # it is to be made anew
        self._renew = False
        self._resuming = False  # the next stream is told what was
        #: Whether the settings have changed since a stream that is not served yet was opened.
        self.stale = False
        self._tried: asyncio.Future[ProviderError | None] | None = None  # None, or why it has failed

    async def start(self, wait_ms: int) -> ProviderError | None:
        """Begin to live, and wait a while for the first connection. Returns why there is none, if that is known."""
        self._tried = asyncio.get_running_loop().create_future()
        self._owner.spawn(self._live(), name=f"{self._owner.name} lives", lasting=True)
        done, _ = await asyncio.wait([self._tried], timeout=wait_ms / 1000)
        return self._tried.result() if done else None

    def wake(self) -> None:
        """Something is to be sent."""
        self._more.set()

    def tell(self, work: Callable[[RealtimeStream], Awaitable[None]]) -> None:
        """Tell the stream something, behind all that it was to be told before. A new one is told by the record, and
        here what happens after that was read."""
        if self.stream is not None or self._resuming:
            self._out.append(work)
            self._more.set()

    async def _live(self) -> None:
        """Connect, and again, for as long as the call lives."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(self._owner.call.rng)
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(self._owner.settings.connect_ms / 1000):
                    self.stale = False
                    stream = self._held = await self._owner.open(self._owner.config())
                    self._out.clear()
                    self._resuming = True
                    await resume(self._owner, stream)
                    if self.stale:
                        await stream.configure(self._owner.config())
            except Exception as caught:
                self._resuming = False
                await self.aclose()
                error = typed(caught, self._owner.vendor, type(self._owner).__name__)
                retry_ms = backoff.next_ms(error)
                self._lost(error, retry_ms)
                self._settle(error)
                if retry_ms is None:
                    self._owner.give_up(error)
                    return
                await asyncio.sleep(retry_ms / 1000)
                continue
            self._owner.emit(
                ProviderConnected(
                    vendor=self._owner.vendor.name,
                    service="realtime",
                    processor=self._owner.name,
                    took_ms=round((loop.time() - began) * 1000),
                    attempts=backoff.attempts + 1,
                )
            )
            self._settle(None)
            connected = loop.time()
            failure = await self._serve(stream)
            if loop.time() - connected > 5:
                backoff.succeeded()
            # One that is half open takes its time: the next one need not wait for it.
            self._held = None
            self._owner.spawn(_closed(stream), name=f"{self._owner.name} closes")
            if failure is None:  # it was to be renewed
                continue
            retry_ms = backoff.next_ms(failure) if failure.retryable else (0 if backoff.attempts < 3 else None)
            if not failure.retryable:
                backoff.attempts += 1
            self._lost(failure, retry_ms)
            if retry_ms is None:
                self._owner.give_up(failure)
                return
            await asyncio.sleep(retry_ms / 1000)

    async def aclose(self) -> None:
        stream, self._held = self._held, None
        if stream is not None:
            await _closed(stream)

    def _settle(self, error: ProviderError | None) -> None:
        if self._tried is not None and not self._tried.done():
            self._tried.set_result(error)

    def _lost(self, error: ProviderError, retry_ms: int | None) -> None:
        self._owner.emit(
            ProviderLost(
                vendor=self._owner.vendor.name,
                service="realtime",
                processor=self._owner.name,
                code=error.code,
                status=error.status,
                retry_ms=retry_ms,
                message=error.message,
            )
        )

    async def _serve(self, stream: RealtimeStream) -> ProviderError | None:
        """Send and read until the stream ends. Returns why; None if another one is to take its place."""
        self.stream, self._resuming = stream, False
        self._down.clear()
        self._renew = False
        self._more.set()
        events = stream.events()
        tasks = [
            asyncio.create_task(self._read(events), name=f"{self._owner.name} reads"),
            asyncio.create_task(self._send(stream), name=f"{self._owner.name} sends"),
            asyncio.create_task(self._down.wait(), name=f"{self._owner.name} watches"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.stream = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await events.aclose()
        if self._renew:
            return None
        for task in tasks[:2]:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                return typed(error, self._owner.vendor, type(self._owner).__name__)
        return ProviderError.of(
            "provider.connection", vendor=self._owner.vendor.name, detail="it has ended", by=type(self._owner).__name__
        )

    async def _send(self, stream: RealtimeStream) -> None:
        """Whatever waits to be sent, as it comes; and watch over what was asked for."""
        loop = asyncio.get_running_loop()
        opened = loop.time()
        while True:
            self._more.clear()
            for piece in self._owner.sound.waiting():
                self._owner.sound.sending(piece)
                await stream.send_audio(piece.data)
            while self._out:
                await self._out.popleft()(stream)
            await self._owner.mouth.ask(stream)
            self._watch()
            idle = not (self._owner.busy)
            if idle and loop.time() - opened > self._owner.settings.session_ms / 1000:
                self._renew = True
                self._down.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25):
                    await self._more.wait()

    def _watch(self) -> None:
        """An answer that does not come is the end of a stream that is only half open."""
        self._owner.ears.watch()
        now = asyncio.get_running_loop().time()
        wish, response = self._owner.mouth.asked, self._owner.mouth.response
        since = wish.asked_s if wish is not None else response.started_s if response is not None else now
        if now - since > self._owner.settings.response_ms / 1000:
            raise ProviderError.of(
                "provider.silent",
                vendor=self._owner.vendor.name,
                waited_ms=self._owner.settings.response_ms,
                setting="RealtimeSettings(response_ms=...)",
            )

    async def _read(self, events: AsyncGenerator[RealtimeEvent, None]) -> None:
        async for event in events:
            self._owner.take(event)


async def _closed(stream: RealtimeStream) -> None:
    with contextlib.suppress(Exception):
        await stream.aclose()
