"""The memory of whoever speaks in one call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from ..call import Call
from ..errors import AssistantError
from ..events import MemoryDeleted, MemoryErased, MemoryFailed, MemoryOpened, MemoryRead, MemoryWritten
from ..memories import MemoryEntry, Place
from .pen import write

if TYPE_CHECKING:
    from .memory import Memory

__all__ = ["CallerMemory"]

#: Where templates find it: `{{ data.memory.name | default("...") }}`.
DATA: Final = "memory"

_Operation = Literal["open", "read", "write", "delete", "erase"]


class _Values(dict[str, Any]):
    """What is remembered, in the data of a call: so it lives as long as that, and no longer."""

    def __init__(self, owner: CallerMemory) -> None:
        super().__init__()
        self.owner = owner


class CallerMemory:
    """What is remembered of whoever speaks in a call. From `Memory.of(call)` or `Assistant.memory(call)`.

    It opens with the first use after it is known who that is, and then stays theirs until `close()`. Reading never
    raises: without a verified caller, or without a store, nothing is remembered. What cannot be kept raises
    `AssistantError`, which a tool may pass on to its model. Each read and write is an event, without the value.
    """

    def __init__(self, memory: Memory, call: Call) -> None:
        self._memory = memory
        self._call = call
        self._place: Place | None = None
        self._lock = asyncio.Lock()
        #: What is remembered, by name; `call.data["memory"]` is this very mapping.
        self.values: dict[str, Any] = _Values(self)
        self.state: Literal["closed", "open", "failed"] = "closed"
        #: Called with the values when somebody's memory was opened.
        self.on_open: Callable[[dict[str, Any]], None] | None = None

    @classmethod
    def of(cls, memory: Memory, call: Call) -> CallerMemory:
        """The one of this call; made where there is none. Raises `AssistantError` (`assistant.data`)."""
        values = call.data.get(DATA)
        if values is None:
            values = call.data[DATA] = cls(memory, call).values
        if not isinstance(values, _Values) or values.owner._memory is not memory:
            raise AssistantError.of("assistant.data", name=DATA, what=f"the memory {memory.namespace}")
        return values.owner

    async def open(self) -> bool:
        """Open it, if it is known who speaks. Returns whether it is open."""
        async with self._lock:
            if self._place is not None:
                return True
            try:
                key = await self._memory.whose(self._call)
                if key is None:
                    self.state = "closed"
                    return False
                place = Place(self._call.log.tenant, self._memory.namespace, key)
                began_ms = self._call.clock.at_ms()
                now_ms = self._call.clock.wall_ms()
                entries = await self._memory.run(
                    "open", lambda store: store.remembered(place, now_ms=now_ms), within_ms=self._memory.open_ms
                )
            except AssistantError as error:
                self.state = "failed"
                self._report("open", error)
                return False
            self._place = place
            self.state = "open"
            self._take(entries)
            took_ms = self._call.clock.at_ms() - began_ms
            write(self._call, MemoryOpened(namespace=place.namespace, entries=len(entries), took_ms=took_ms))
        if self.values and self.on_open is not None:
            self.on_open(dict(self.values))
        return True

    def close(self) -> None:
        """It is not (or not only) they who speak any more: it opens again when they are verified anew."""
        self._place = None
        self.state = "closed"
        self.values.clear()

    async def get(self, name: str, default: Any = None) -> Any:
        """One value; `default` if there is none, or nobody's memory can be read."""
        name = self._memory.checked_name(name)
        found = await self._read()
        if found is None:
            return default
        self._write(MemoryRead(namespace=self._memory.namespace, found=int(name in found), name=name))
        return found.get(name, default)

    async def all(self) -> dict[str, Any]:
        """All values by name."""
        found = await self._read()
        if found is None:
            return {}
        self._write(MemoryRead(namespace=self._memory.namespace, found=len(found)))
        return dict(found)

    async def set(self, name: str, value: Any, *, ttl_ms: int | None = None) -> None:
        """Keep a value, which JSON can hold, in place of the one of this name.

        ttl_ms: how long; by default as the `Memory` says. Raises `AssistantError`: `memory.closed` while it is not
        known who speaks, `memory.name`, `memory.value`, `memory.full`, `memory.bound`, `memory.failed`.
        """
        memory = self._memory
        name = memory.checked_name(name)
        text = memory.as_json(name, value)
        if ttl_ms is not None and ttl_ms < 1:
            error = f"ttl_ms is {ttl_ms}, and must be at least 1"
            raise AssistantError.of("memory.bound", namespace=memory.namespace, name="ttl_ms", error=error)
        ttl_ms = memory.ttl_ms if ttl_ms is None else ttl_ms
        place = await self._opened()
        now_ms = self._call.clock.wall_ms()
        entry = MemoryEntry(name, text, now_ms, None if ttl_ms is None else now_ms + ttl_ms, self._call.id)
        replaced = await self._change("write", lambda store: store.remember(place, entry, bounds=memory.bounds))
        if self._place == place:
            self.values[name] = json.loads(text)
        self._write(
            MemoryWritten(
                namespace=place.namespace, bytes=entry.bytes, ttl_ms=ttl_ms, replaced=bool(replaced), name=name
            )
        )

    async def delete(self, name: str) -> bool:
        """Take one value out. Returns whether there was one. Raises `AssistantError` as `set()` does."""
        name = self._memory.checked_name(name)
        place = await self._opened()
        found = bool(await self._change("delete", lambda store: store.forget(place, name)))
        if self._place == place:
            self.values.pop(name, None)
        self._write(MemoryDeleted(namespace=place.namespace, found=found, name=name))
        return found

    async def erase(self) -> int:
        """Erase all that is remembered of who speaks, for good. Returns how many entries it were.

        Raises `AssistantError`: `memory.closed`, `memory.failed`, and `memory.erase` if a reader of the store holds the
        old state: then repeat it.
        """
        place = await self._opened()
        if self._place == place:
            self.values.clear()
        count = await self._change("erase", lambda store: store.erase_memories(*place))
        self._write(MemoryErased(namespace=place.namespace, count=count))
        return int(count)

    # -- inside

    async def _opened(self) -> Place:
        """Whose it is. Raises `AssistantError` if it cannot be opened."""
        if not await self.open() or self._place is None:
            if self.state == "failed":
                error = "it could not be opened"
                raise AssistantError.of("memory.failed", namespace=self._memory.namespace, done="opened", error=error)
            raise AssistantError.of("memory.closed", call=self._call.id)
        return self._place

    async def _read(self) -> dict[str, Any] | None:
        if not await self.open():
            return None
        place = self._place
        if place is None:
            return None
        now_ms = self._call.clock.wall_ms()
        try:
            entries = await self._memory.run("read", lambda store: store.remembered(place, now_ms=now_ms))
        except AssistantError as error:
            self._report("read", error)
            return None
        if self._place != place:
            return None  # it was closed meanwhile
        self._take(entries)
        return self.values

    def _take(self, entries: list[MemoryEntry]) -> None:
        self.values.clear()
        for entry in entries:
            try:
                self.values[entry.name] = json.loads(entry.json)
            except (ValueError, RecursionError) as error:  # somebody else has written there
                namespace, what = self._memory.namespace, f"an entry is no JSON ({error})"
                self._report("read", AssistantError.of("memory.failed", namespace=namespace, done="read", error=what))

    async def _change(self, operation: _Operation, work: Callable[[Any], Any]) -> Any:
        try:
            return await self._memory.run(operation, work)
        except AssistantError as error:
            self._report(operation, error)
            raise

    def _report(self, operation: _Operation, error: AssistantError) -> None:
        namespace = self._memory.namespace
        self._write(MemoryFailed(namespace=namespace, operation=operation, code=error.code, message=str(error)))

    def _write(
        self, event: MemoryDeleted | MemoryErased | MemoryFailed | MemoryOpened | MemoryRead | MemoryWritten
    ) -> None:
        write(self._call, event)

    def __repr__(self) -> str:
        return f"<memory {self._memory.namespace} of call {self._call.id}: {self.state}>"
