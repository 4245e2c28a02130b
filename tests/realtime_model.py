"""A model that hears and speaks itself, in memory: it notes what it is told, and tells what it is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Literal

from voiceframe.audio import PCMU_8K, Audio
from voiceframe.llm import Message
from voiceframe.processors.realtime import Realtime, RealtimeConfig, RealtimeStream
from voiceframe.processors.realtime.stream import RealtimeEvent
from voiceframe.provider import Vendor
from voiceframe.testing.run import Rig


class Scripted(RealtimeStream):
    """A stream in memory: notes what it is told, and tells what it is given."""

    def __init__(self, config: RealtimeConfig, may_restore: asyncio.Event) -> None:
        self._may_restore = may_restore
        self.config = config
        self.told: list[tuple[Any, ...]] = []
        self.sound = 0
        self._events: asyncio.Queue[RealtimeEvent | Exception] = asyncio.Queue()

    def tell(self, *events: RealtimeEvent | Exception) -> None:
        for event in events:
            self._events.put_nowait(event)

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [told[1:] for told in self.told if told[0] == name]

    async def send_audio(self, audio: bytes) -> None:
        self.sound += len(audio)
        self.told.append(("audio", len(audio)))

    async def commit(self) -> None:
        self.told.append(("commit",))

    async def clear(self) -> None:
        self.told.append(("clear",))

    async def send_text(self, text: str, role: Literal["user", "system", "assistant"]) -> None:
        self.told.append(("text", role, text))

    async def send_tool_result(self, call_id: str, text: str) -> None:
        self.told.append(("result", call_id, text))

    async def respond(self, tag: str, *, say: str = "", said: str = "") -> None:
        self.told.append(("respond", tag, say))

    async def cancel(self) -> None:
        self.told.append(("cancel",))

    async def truncate(self, item: str, heard_ms: int) -> None:
        self.told.append(("truncate", item, heard_ms))

    async def restore(self, messages: tuple[Message, ...]) -> None:
        self.told.append(("restore", messages))
        await self._may_restore.wait()

    async def configure(self, config: RealtimeConfig) -> None:
        self.told.append(("configure", config))

    async def events(self) -> AsyncGenerator[RealtimeEvent, None]:
        while True:
            event = await self._events.get()
            if isinstance(event, Exception):
                raise event
            yield event

    async def aclose(self) -> None:
        self.told.append(("close",))


class Model(Realtime):
    vendor = Vendor("acme", "ACME_API_KEY", "acme", "https://acme.test")
    accepts = produces = (PCMU_8K,)

    def __init__(self, *, own: bool = False, refuses: Exception | None = None, **more: Any) -> None:
        super().__init__("Be kind.", api_key="key", **more)
        self.own_turns = own
        self.decides_interruptions = not own  # type: ignore[misc]
        self.refuses = refuses
        #: Not set: a new stream is slow to open, or to be told what was.
        self.may_open = asyncio.Event()
        self.may_restore = asyncio.Event()
        self.may_open.set()
        self.may_restore.set()
        self.streams: list[Scripted] = []

    @property
    def stream(self) -> Scripted:
        return self.streams[-1]

    async def open(self, config: RealtimeConfig) -> RealtimeStream:
        if self.refuses is not None:
            raise self.refuses
        self.streams.append(Scripted(config, self.may_restore))
        await self.may_open.wait()
        return self.streams[-1]


def sound(length_ms: int = 20) -> Audio:
    return Audio(bytes(8 * length_ms), PCMU_8K)


async def settle(ms: int = 50) -> None:
    await asyncio.sleep(ms / 1000)


def down(running: Rig, kind: type) -> list[Any]:
    return [frame for frame in running.result.down if isinstance(frame, kind)]
