"""Memory: what an assistant knows of a person from one call to the next.

    Memory("sqlite:///voiceframe.db", verified=attested, ttl_ms=90 * DAY_MS)

Nobody's memory is open until it is known who speaks. A number that a caller shows proves nothing, as anybody can show
it: either `verified` says that the carrier vouches for it, or `key` says by other means who they are.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from ..call import Call
from ..errors import AssistantError, VoiceframeError
from ..memories import Bounds, MemoryEntry, MemoryStore, Place
from ..store import check_url, open_store
from .caller_memory import CallerMemory
from .party import party

__all__ = ["DAY_MS", "Memory"]

T = TypeVar("T")
_log = logging.getLogger("voiceframe.assistant")

DAY_MS: Final = 86_400_000
#: Threads of its own, so that a store that hangs takes none from others.
_THREADS: Final = 4
_KEY_CHARS: Final = 256
_NAME_CHARS: Final = 64
_DEPTH: Final = 16
#: After the store was too slow for a call, others do not wait for it for so long.
_REST_MS: Final = 5_000
_NAME: Final = re.compile(rf"[\w-]{{1,{_NAME_CHARS}}}")

#: A function of the call, or a coroutine function. One that blocks holds up every call: look things up with `await`.
_Asked: TypeAlias = Callable[[Call], T | Awaitable[T]]


class Memory:
    """What is remembered of callers. Make one for the process; `Assistant(..., memory=...)` opens it for each call.

    store: the address of a store, `"sqlite:///voiceframe.db"`, or a `MemoryStore`.
    verified: whether the number of the other side is proven to be theirs in this call: attested by the carrier, called
        by us, confirmed by a code. It is the key then.
    key: in place of `verified`, who is speaking, by your own means; None while you do not know. It is asked again
        whenever memory is used and nobody's is open, so a caller may prove who they are in the middle of a call.
    ttl_ms: how long an entry is kept that is not told otherwise; None for good.
    namespace: memories apart from others of the same store.
    most_entries, most_bytes: bounds for one person. value_bytes: for one value, as JSON.
    open_ms: how long a call waits for its memory before it goes on without. write_ms: how long a write may take.

    Raises `AssistantError` (`memory.whose`, `memory.bound`, `memory.store`) and `StoreError` (`store.url`).
    """

    def __init__(
        self,
        store: MemoryStore | str,
        *,
        ttl_ms: int | None,
        verified: _Asked[bool] | None = None,
        key: _Asked[str | None] | None = None,
        namespace: str = "default",
        most_entries: int = 50,
        most_bytes: int = 16_384,
        value_bytes: int = 4_096,
        open_ms: int = 500,
        write_ms: int = 5_000,
    ) -> None:
        if (verified is None) == (key is None):
            error = "there is neither" if key is None else "both `verified` and `key` are given"
            raise AssistantError.of("memory.whose", error=error)
        if not _NAME.fullmatch(namespace):
            raise AssistantError.of(
                "memory.bound", namespace=namespace, name="namespace", error="its namespace is no short word"
            )
        for name, value, least in (
            ("ttl_ms", 1 if ttl_ms is None else ttl_ms, 1),
            ("most_entries", most_entries, 1),
            ("most_bytes", most_bytes, 16),
            ("value_bytes", value_bytes, 16),
            ("open_ms", open_ms, 1),
            ("write_ms", write_ms, 1),
        ):
            if value < least:
                error = f"{name} is {value}, and must be at least {least}"
                raise AssistantError.of("memory.bound", namespace=namespace, name=name, error=error)
        if isinstance(store, str):
            check_url(store)
        elif not isinstance(store, MemoryStore):
            raise AssistantError.of("memory.store", what=repr(store))
        self.namespace = namespace
        self.ttl_ms = ttl_ms
        self.value_bytes = value_bytes
        self.bounds = Bounds(most_entries, most_bytes)
        self.open_ms = open_ms
        self.write_ms = write_ms
        self._verified = verified
        self._key = key
        self._address = store if isinstance(store, str) else ""
        self._store: MemoryStore | None = None if isinstance(store, str) else store
        self._opening = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._resting: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()

    def of(self, call: Call) -> CallerMemory:
        """The memory of whoever speaks in this call. A call has one `Memory`, which is in its data.

        Raises `AssistantError` (`assistant.data`) if `call.data["memory"]` is something else.
        """
        return CallerMemory.of(self, call)

    # -- for the owner, outside of calls

    async def keys(self, *, tenant: str = "default", limit: int = 1_000) -> list[str]:
        """Of whom something is remembered."""
        now_ms = _wall_ms()
        return await self.run(
            "read", lambda store: store.memory_keys(tenant, self.namespace, now_ms=now_ms, limit=limit)
        )

    async def entries(self, key: str, *, tenant: str = "default") -> list[MemoryEntry]:
        """What is remembered of somebody: what the law calls a subject's access."""
        place, now_ms = Place(tenant, self.namespace, self.checked_key(key)), _wall_ms()
        return await self.run("read", lambda store: store.remembered(place, now_ms=now_ms))

    async def erase(self, key: str, *, tenant: str = "default") -> int:
        """Erase all that is remembered of somebody, for good. Returns how many entries it were.

        When it returns, they are in no file of the store any more. Raises `AssistantError` (`memory.erase`) if a reader
        holds the old state: then repeat it.
        """
        self.checked_key(key)
        return await self.run("erase", lambda store: store.erase_memories(tenant, self.namespace, key))

    async def erase_all(self, *, tenant: str = "default") -> int:
        """Erase the whole namespace, as `erase()` does."""
        return await self.run("erase", lambda store: store.erase_memories(tenant, self.namespace))

    async def purge(self) -> int:
        """Take out what has expired, of everybody; at most 500 entries. It is done after each call anyway."""
        now_ms = _wall_ms()
        return await self.run("write", lambda store: store.purge_memories(now_ms=now_ms))

    def purge_soon(self, now_ms: int) -> None:
        """Have `purge()` done, which nobody waits for."""

        def look(done: asyncio.Future[int]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                _log.warning("memory %s: what has expired could not be taken out: %s", self.namespace, error)

        loop = asyncio.get_running_loop()
        purge = loop.run_in_executor(self._threads(), lambda: self._opened().purge_memories(now_ms=now_ms))
        purge.add_done_callback(look)

    def close(self) -> None:
        """Let go of the store, if it was opened here, and of the threads. Blocks for as long as the store works."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        if self._address and self._store is not None:
            close = getattr(self._store, "close", None)
            self._store = None
            if callable(close):
                close()

    # -- for the memory of a caller

    async def whose(self, call: Call) -> str | None:
        """The key of who speaks, None if that is not known. Raises `AssistantError`."""
        try:
            async with asyncio.timeout(self.open_ms / 1000):
                if self._key is not None:
                    key: object = await _awaited(self._key(call))
                else:
                    assert self._verified is not None
                    # Only the very word: a function that returns a reason must not open anything.
                    key = party(call) if await _awaited(self._verified(call)) is True else None
        except Exception as error:
            _log.warning("memory %s: it could not be found out who speaks: %r", self.namespace, error)
            raise AssistantError.of(
                "memory.identity", namespace=self.namespace, error=_said(error), open_ms=self.open_ms
            ) from error
        return None if key is None else self.checked_key(key)

    def checked_key(self, key: object) -> str:
        """The key, if it can be one. Raises `AssistantError` (`memory.key`)."""
        error = ""
        if not isinstance(key, str):
            error = f"it is no text, but {type(key).__name__}"
        elif not 0 < len(key) <= _KEY_CHARS or not key.strip():
            error = f"it has {len(key)} characters"
        elif not _is_text(key):
            error = "it has half of a character in it"
        if error:
            raise AssistantError.of("memory.key", namespace=self.namespace, error=error, most=_KEY_CHARS)
        return str(key)

    def checked_name(self, name: object) -> str:
        """The name, if it can be one. Raises `AssistantError` (`memory.name`)."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            shown = name[:80] if isinstance(name, str) else name
            raise AssistantError.of("memory.name", name=shown, most=_NAME_CHARS)
        return name

    def as_json(self, name: str, value: Any) -> str:
        """The value as it is kept. Raises `AssistantError` (`memory.value`)."""
        error = ""
        text = ""
        try:
            if _too_deep(value, _DEPTH):
                error = f"it is nested more than {_DEPTH} deep"
            else:
                text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
                text = text.encode("utf-8", "replace").decode()  # half a character is none
        except (TypeError, ValueError, RecursionError) as caught:
            error = str(caught)
        if not error and len(text.encode()) > self.value_bytes:
            error = f"it takes {len(text.encode())} bytes"
        if error:
            raise AssistantError.of("memory.value", name=name, error=error, most=self.value_bytes)
        return text

    async def run(self, operation: str, work: Callable[[MemoryStore], T], *, within_ms: int | None = None) -> T:
        """Have the store do something, off the loop. Raises `AssistantError`: what the store raises as it is (a bound),
        or `memory.failed`."""
        loop = asyncio.get_running_loop()
        within_ms = within_ms or self.write_ms
        if loop.time() < self._resting.get(loop, 0.0) and operation == "open":
            raise self._failed(operation, "it did not answer a moment ago")
        limit = asyncio.timeout(within_ms / 1000)
        try:
            async with limit:
                return await loop.run_in_executor(self._threads(), lambda: work(self._opened()))
        except AssistantError:
            raise
        except Exception as error:
            if limit.expired():
                self._resting[loop] = loop.time() + _REST_MS / 1000
                raise self._failed(operation, f"it has not answered within {within_ms} ms") from error
            raise self._failed(operation, _said(error)) from error

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="voiceframe-memory")
        return self._pool

    def _failed(self, operation: str, error: str) -> AssistantError:
        done = {"open": "opened", "write": "written", "delete": "deleted from", "erase": "erased"}.get(
            operation, "read"
        )
        return AssistantError.of("memory.failed", namespace=self.namespace, done=done, error=error)

    def _opened(self) -> MemoryStore:
        with self._opening:
            if self._store is None:
                store = open_store(self._address)
                assert isinstance(store, MemoryStore)
                self._store = store
            return self._store

    def __repr__(self) -> str:
        return f"<memory {self.namespace}>"


async def _awaited(value: T | Awaitable[T]) -> T:
    if inspect.isawaitable(value):
        return await value
    return value


def _said(error: BaseException) -> str:
    if isinstance(error, VoiceframeError):
        return error.message.rstrip(".")
    return f"{type(error).__name__}: {error}".rstrip(" .:")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_deep(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return not depth or any(_too_deep(item, depth - 1) for item in value.values())
    if isinstance(value, list | tuple):
        return not depth or any(_too_deep(item, depth - 1) for item in value)
    return False


def _wall_ms() -> int:
    from ..clock import MediaClock

    return MediaClock(asyncio.get_running_loop()).wall_ms()
