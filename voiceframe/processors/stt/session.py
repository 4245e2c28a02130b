"""A stream that survives its connections: what a network recognizer has not answered yet is sent once more.

    begin, audio, finalize ─▶ history ─▶ connection ─▶ results
                                 ▲            │ lost: another one, by `Backoff`
                                 └── again ◀──┘ what no final result covers, at most `replay_ms` of audio

Final results that were given are kept: the audio that they cover leaves the history, so no word comes twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from typing import Final as Constant

from ...audio import AudioFormat
from ...errors import ProviderError, VoiceframeError
from ...events import ProviderConnected, ProviderLost
from ...frames import ExpectFrame, Word
from ...provider import Backoff, typed
from .history import History, Item
from .stream import EagerEnd, Final, Restart, STTResult, STTStream, TurnEnd, TurnStart

if TYPE_CHECKING:
    from .cloud import CloudSTT

__all__ = ["Session"]

_log = logging.getLogger(__name__)

#: How often in a row a vendor may send what cannot be understood before it is left alone.
_MOST_NONSENSE: Constant = 3
#: A connection that lived so long was a good one, also if nothing was said on it.
_GOOD_MS: Constant = 5_000
#: How long a vendor takes at most to notice that a turn has begun.
_NOTICED_MS: Constant = 1_500


class _Link:
    """A connection, and what of the history it was told."""

    def __init__(self, stream: STTStream, next: int, origin_ms: float, since: float) -> None:
        self.stream = stream
        self.next = next  # number of the item that it is told next
        self.origin_ms = origin_ms  # place of the first audio that it is sent
        self.since = since
        self.busy = False
        self.owed = 0  # segments that it was told are over, and has not answered
        self.begun: deque[tuple[float, float]] = deque()  # where each segment began: for it, and in truth
        self.heard = since  # when it last gave a result, or was asked for one


class Session(STTStream):
    """All connections of one recognizer in one call, as if they were one."""

    def __init__(self, owner: CloudSTT, format: AudioFormat) -> None:
        self._owner = owner
        self._format = format
        self._backoff = Backoff(owner.call.rng)
        self._link: _Link | None = None
        self._history = History()
        self._place_ms = 0.0  # length of all audio so far
        self._began_ms = 0.0  # where the present segment begins
        self._given_ms = 0.0  # how much audio there was then
        self._unplaced = False  # parts of the first segment were given without saying what they cover
        # of a turn of the vendor's
        self._turn: list[str] = []  # texts that were given of it
        self._turn_ms = 0.0  # where it begins, at the earliest
        self._before = ""  # those texts, if the present connection knows nothing of them
        self._nonsense = 0
        self._stale = False  # another connection is to be made when nothing is owed
        self._results: asyncio.Queue[STTResult | VoiceframeError] = asyncio.Queue()
        self._wake = asyncio.Event()  # the connection is lost, or to be renewed
        self._closed = False
        self._pause_ms = 0  # to wait before the next connection
        self._sent_at = asyncio.get_running_loop().time()
        self._watch: asyncio.TimerHandle | None = None
        self._orphan: asyncio.TimerHandle | None = None  # ends a turn that this connection knows nothing of
        self._tasks: set[asyncio.Task[None]] = set()
        #: Done when it is connected, or has failed to for the first time; None or why.
        self.tried: asyncio.Future[VoiceframeError | None] = asyncio.get_running_loop().create_future()
        self._spawn(self._connect(), "stt-connection")
        if owner.keep_alive_ms:
            self._spawn(self._keep_alive(owner.keep_alive_ms / 1000), "stt-keep-alive")

    def _spawn(self, coro: Any, name: str) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._owner.spawn(coro, name=name, lasting=True)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- what it is told

    async def begin(self, expect: ExpectFrame | None) -> None:
        self._began_ms = self._place_ms
        self._history.add(Item("begin", self._place_ms, self._place_ms, expect=expect))
        await self._flush()

    async def send(self, audio: bytes) -> None:
        start = self._place_ms
        self._place_ms = end = start + len(audio) * 1000 / self._format.bytes_per_second
        self._history.add(Item("audio", start, end, audio))
        if self._history.kept_ms > self._owner.settings.replay_ms:
            self._history.trim(self._owner.settings.replay_ms)
        await self._flush()

    async def finalize(self) -> None:
        self._history.add(Item("finalize", self._place_ms, self._place_ms))
        await self._flush()

    async def configure(self, hints: tuple[str, ...], changes: Mapping[str, Any]) -> bool:
        link = self._link
        if link is not None:
            try:
                if await link.stream.configure(hints, changes):
                    return True
            except Exception as error:
                self._lose(link, error)
                return True
        # A connection that is being made just now is made by the old ones.
        self._stale = True
        self._renew()
        return True

    def skip(self, *, present: bool) -> None:
        """Nobody waits for results any more, but for those of the segment that is under way, if `present`.

        Goes on with another connection: on this one they might still come.
        """
        self._history.skip(self._began_ms if present else None)
        self._unplaced = False
        self._turn.clear()
        self._turn_ms = self._place_ms
        if self._link is not None:
            self._drop_link(self._link)

    async def aclose(self) -> None:
        self._closed = True
        for timer in (self._watch, self._orphan):
            if timer is not None:
                timer.cancel()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        link, self._link = self._link, None
        if link is not None:
            await _close(link.stream)
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- the connection

    async def _flush(self) -> None:
        """Tell the connection what it was not told yet. One at a time does."""
        link = self._link
        if link is None or link.busy:
            return
        link.busy = True
        try:
            while link is self._link and link.next < self._history.end:
                link.next = max(link.next, self._history.first)
                item = self._history[link.next]
                link.next += 1
                await self._tell(link, item)
        except Exception as error:
            self._lose(link, error)
        finally:
            link.busy = False

    async def _tell(self, link: _Link, item: Item) -> None:
        if item.kind == "audio":
            self._sent_at = asyncio.get_running_loop().time()
            self._owner.spend(item.end_ms - item.start_ms)
            await link.stream.send(item.audio)
        elif item.kind == "begin":
            link.begun.append((self._next_audio(link, item.start_ms), item.start_ms))
            await link.stream.begin(item.expect)
        elif item.kind == "finalize":
            link.owed += 1
            link.heard = asyncio.get_running_loop().time()
            self._arm(link)
            await link.stream.finalize()

    def _next_audio(self, link: _Link, default_ms: float) -> float:
        """Where the audio begins that this connection is sent next: not where its segment does, if part is covered."""
        for number in range(link.next, self._history.end):
            item = self._history[number]
            if item.kind in ("audio", "finalize"):
                return item.start_ms
        return default_ms

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closed:
            self._stale = False
            self._wake.clear()
            began = loop.time()
            try:
                async with asyncio.timeout(self._owner.settings.connect_ms / 1000):
                    stream = await self._owner.open(self._format, self._owner.language)
            except VoiceframeError as error:
                if not isinstance(error, ProviderError):  # it cannot be had here at all: its package is missing
                    if not self.tried.done():
                        self.tried.set_result(error)
                    self._results.put_nowait(error)
                    return
                if not await self._failed(error):
                    return
                continue
            except Exception as error:
                if not await self._failed(typed(error, self._owner.vendor, self._owner.by)):
                    return
                continue
            self._owner.emit(
                ProviderConnected(
                    vendor=self._owner.vendor.name,
                    service="stt",
                    processor=self._owner.name,
                    took_ms=round((loop.time() - began) * 1000),
                    attempts=self._backoff.attempts + 1,
                )
            )
            if not self.tried.done():
                self.tried.set_result(None)
            self._before = ""
            if self._turn:
                await self._resume(stream)
            elif self._unplaced:
                self._again()
            audio = self._history.audio()
            origin = audio.start_ms if audio is not None else self._place_ms
            link = self._link = _Link(stream, self._history.first, origin, loop.time())
            if self._before:
                self._orphan = loop.call_later(self._owner.settings.silent_ms / 1000, self._end_turn, link)
            reader = self._spawn(self._read(link), "stt-reader")
            await self._flush()
            self._renew()
            await self._wake.wait()
            reader.cancel()
            await _close(stream)
            pause_ms, self._pause_ms = self._pause_ms, 0
            if pause_ms:
                await asyncio.sleep(pause_ms / 1000)

    def _again(self) -> None:
        """Take the first segment anew, if all of it is still there; else what was given of it stands."""
        self._unplaced = False
        begun = next((item for item in self._history if item.kind == "begin"), None)
        audio = next((item for item in self._history if item.kind in ("audio", "gone")), None)
        if begun is not None and audio is not None and audio.start_ms <= begun.start_ms and audio.kind == "audio":
            self._results.put_nowait(Restart())
        else:
            self._history.cover(self._given_ms)

    async def _resume(self, stream: STTStream) -> None:
        """Go on with a turn: it is heard anew if all of it is still there, else what was given of it stands."""
        audio = self._history.audio()
        if audio is not None and audio.start_ms <= self._turn_ms + 1:
            with contextlib.suppress(Exception):  # a connection that is lost already says so when it is read
                await stream.resume(len(" ".join(self._turn).split()))
        else:
            self._before = " ".join(self._turn)
            self._history.cover(self._given_ms, within=False)

    async def _failed(self, error: ProviderError) -> bool:
        """An attempt has failed. Waits until it is time for the next; False if there is no use in one."""
        retry_ms = self._next_ms(error)
        self._report(error, retry_ms)
        if not self.tried.done():
            self.tried.set_result(error)
        if retry_ms is None:
            self._results.put_nowait(error)
            return False
        await asyncio.sleep(retry_ms / 1000)
        return True

    def _next_ms(self, error: ProviderError) -> int | None:
        if error.code == "provider.protocol":
            self._nonsense += 1
            if self._nonsense >= _MOST_NONSENSE:
                return None
            return self._backoff.next_ms()
        return self._backoff.next_ms(error)

    def _report(self, error: ProviderError, retry_ms: int | None) -> None:
        _log.warning("%s: %s", self._owner.name, error)
        self._owner.emit(
            ProviderLost(
                vendor=self._owner.vendor.name,
                service="stt",
                processor=self._owner.name,
                code=error.code,
                status=error.status,
                retry_ms=retry_ms,
                message=error.message,
            )
        )

    def _lose(self, link: _Link, cause: BaseException) -> None:
        """This connection is of no use any more."""
        if link is not self._link or self._closed:
            return
        error = typed(cause, self._owner.vendor, self._owner.by)
        if asyncio.get_running_loop().time() - link.since >= _GOOD_MS / 1000:
            self._backoff.succeeded()
        retry_ms = self._next_ms(error)
        self._report(error, retry_ms)
        if retry_ms is None:
            self._closed = True
            self._results.put_nowait(error)
        else:
            self._pause_ms = retry_ms
        self._drop_link(link)

    def _drop_link(self, link: _Link) -> None:
        for timer in (self._watch, self._orphan):
            if timer is not None:
                timer.cancel()
        self._watch = self._orphan = None
        self._link = None
        self._wake.set()

    def _renew(self) -> None:
        """Make another connection, if one is wanted and nothing is owed on this."""
        if self._stale and self._link is not None and not self._history.begins():
            self._drop_link(self._link)

    async def _keep_alive(self, every_s: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.01, self._sent_at + every_s - loop.time()))
            link = self._link
            if link is not None and loop.time() - self._sent_at >= every_s:
                self._sent_at = loop.time()
                try:
                    await link.stream.keep_alive()
                except Exception as error:
                    self._lose(link, error)
            elif link is None:
                await asyncio.sleep(every_s)

    def _arm(self, link: _Link) -> None:
        if self._watch is None:
            loop = asyncio.get_running_loop()
            self._watch = loop.call_later(self._owner.settings.silent_ms / 1000, self._look, link)

    def _look(self, link: _Link) -> None:
        """Nothing has come for a while: if something is owed, the connection is as good as lost."""
        self._watch = None
        if link is not self._link or not link.owed:
            return
        silent_ms = self._owner.settings.silent_ms
        loop = asyncio.get_running_loop()
        left = link.heard + silent_ms / 1000 - loop.time()
        if left > 0.001:
            self._watch = loop.call_later(left, self._look, link)
            return
        self._lose(
            link,
            ProviderError.of(
                "provider.silent",
                vendor=self._owner.vendor.name,
                waited_ms=silent_ms,
                setting="STTSettings(silent_ms=...)",
            ),
        )

    # -- what comes from it

    async def results(self) -> AsyncGenerator[STTResult, None]:
        while True:
            result = await self._results.get()
            if isinstance(result, VoiceframeError):
                raise result
            yield result

    async def _read(self, link: _Link) -> None:
        try:
            async with contextlib.aclosing(link.stream.results()) as results:
                async for result in results:
                    if link is not self._link:
                        return
                    self._take(link, result)
            raise ConnectionResetError("it was closed by the vendor")
        except Exception as error:
            self._lose(link, error)

    def _take(self, link: _Link, result: STTResult) -> None:
        self._backoff.succeeded()
        self._nonsense = 0
        link.heard = asyncio.get_running_loop().time()
        if isinstance(result, TurnStart) and not self._turn:
            self._turn_ms = max(self._turn_ms, self._place_ms - _NOTICED_MS)
        if self._orphan is not None and (isinstance(result, TurnStart) or bool(getattr(result, "text", ""))):
            self._orphan.cancel()
            self._orphan = None
        if isinstance(result, Final):
            result = self._final(link, result)
        elif isinstance(result, TurnEnd):
            until = self._place_ms if result.until_ms is None else link.origin_ms + result.until_ms
            self._history.cover(until, within=False)
            self._turn_ms = until
            result = replace(result, text=_joined(self._before, result.text), until_ms=until)
            self._turn.clear()
            self._before = ""
        elif isinstance(result, EagerEnd):
            result = replace(result, text=_joined(self._before, result.text))
        self._results.put_nowait(result)
        if self._stale:
            self._renew()

    def _end_turn(self, link: _Link) -> None:
        """Its turn began on a connection that is lost, and nobody has spoken since."""
        self._orphan = None
        if link is self._link:
            self._take(link, TurnEnd("", until_ms=0.0))

    def _final(self, link: _Link, final: Final) -> Final:
        always = self._owner.fed == "always"
        told, truth = link.begun[0] if link.begun else (self._place_ms, self._place_ms)
        shift = link.origin_ms if always else told - truth
        until = final.until_ms
        if until is not None:
            until += link.origin_ms if always else told
        if final.text and always:
            self._turn.append(final.text)
            self._given_ms = self._place_ms
        if final.last and link.owed:
            link.owed -= 1
            if link.begun:
                link.begun.popleft()
            if always:
                self._history.close_segment()
            else:
                self._unplaced = False
                self._history.drop_segment()
        elif always:
            pass  # its audio is kept until the turn ends
        elif until is not None:
            self._history.cover(until)
        elif final.text:
            self._unplaced = True
            self._given_ms = self._place_ms
        if shift and final.words:
            words = tuple(Word(w.text, round(w.start_ms + shift), round(w.end_ms + shift)) for w in final.words)
            return replace(final, words=words)
        return final


def _joined(before: str, text: str) -> str:
    return f"{before} {text}".strip() if before else text


async def _close(stream: STTStream) -> None:
    with contextlib.suppress(Exception):
        await stream.aclose()
