"""What runs after a call: hooks, each with a bound in time and a few attempts. The call does not wait for them."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from ..errors import AssistantError
from ..events import AfterDone, AfterFailed, EventLog
from .finished import FinishedCall

__all__ = ["After", "Hook", "Work", "run_hook"]

_log = logging.getLogger("voiceframe.assistant")

#: A function of the finished call. One that is no coroutine function runs in a thread.
Hook = Callable[[FinishedCall], "Awaitable[object] | object"]

#: Of one assistant, at the same time: the end of a thousand calls must not be a thousand requests at once.
_AT_ONCE: Final = 16
#: And so many wait at most, when what they call does not answer.
_WAITING: Final = 1_000
_JITTER: Final = 0.2
WRITER: Final = "after"


class After:
    """A hook, and how often and how long it is tried.

    hook: a function of the `FinishedCall`. It may run twice (after a timeout that was none, say), with the same
        `idempotency_key`. One that is no `async def` runs in a thread, and goes on there when its time is over.
    name: for events; by default that of the function.
    timeout_ms: of one attempt. attempts: how many. backoff_ms: before the second one, and twice as long before each
        further one, up to `most_backoff_ms`, all of it 20 % more or less.

    Raises `AssistantError` (`assistant.hook`).
    """

    def __init__(
        self,
        hook: Hook,
        *,
        name: str = "",
        timeout_ms: int = 30_000,
        attempts: int = 3,
        backoff_ms: int = 1_000,
        most_backoff_ms: int = 60_000,
    ) -> None:
        if not callable(hook):
            raise AssistantError.of("assistant.hook", what=repr(hook), error="it is no function")
        self.hook = hook
        self.name = name or str(getattr(hook, "__name__", type(hook).__name__))
        self.timeout_ms = timeout_ms
        self.attempts = attempts
        self.backoff_ms = backoff_ms
        self.most_backoff_ms = most_backoff_ms
        for option, value, least in (
            ("timeout_ms", timeout_ms, 1),
            ("attempts", attempts, 1),
            ("backoff_ms", backoff_ms, 0),
            ("most_backoff_ms", most_backoff_ms, 0),
        ):
            if value < least:
                error = f"{option} is {value}, and must be at least {least}"
                raise AssistantError.of("assistant.hook", what=self.name, error=error)

    def pause_ms(self, attempt: int, rng: random.Random) -> int:
        """How long to wait after this attempt has failed."""
        pause = min(self.most_backoff_ms, self.backoff_ms << min(attempt - 1, 32))
        return round(pause * (1 + _JITTER * (2 * rng.random() - 1)))

    async def attempt(self, call: FinishedCall) -> None:
        """Run it once. Raises what it raises, and `TimeoutError`."""
        async with asyncio.timeout(self.timeout_ms / 1000):
            if _is_async(self.hook):
                await self.hook(call)  # type: ignore[misc]
            else:
                found = await asyncio.get_running_loop().run_in_executor(None, self.hook, call)
                if inspect.isawaitable(found):  # a function that makes a coroutine: a lambda, say
                    await found

    def __repr__(self) -> str:
        return f"<after {self.name}>"


def _is_async(hook: object) -> bool:
    while isinstance(hook, functools.partial):
        hook = hook.func
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None))  # noqa: B004


async def run_hook(after: After, call: FinishedCall, log: EventLog) -> bool:
    """Run a hook as often as it says. What comes of each attempt is an event. Returns whether it has succeeded."""
    key = f"{call.id}:{call.assistant}:{after.name}"
    call = dataclasses.replace(call, idempotency_key=key)
    rng = random.Random(key)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for attempt in range(1, after.attempts + 1):
        last = attempt == after.attempts
        try:
            await after.attempt(dataclasses.replace(call, attempt=attempt))
        except asyncio.CancelledError:
            failed(log, call, after.name, attempt, "CancelledError", "It was stopped before it was done.")
            raise
        except Exception as error:
            pause_ms = None if last else after.pause_ms(attempt, rng)
            _log.warning("after call %s: %s failed (%d): %r", call.id, after.name, attempt, error, exc_info=last)
            failed(log, call, after.name, attempt, type(error).__name__, str(error), pause_ms)
            if pause_ms is not None:
                try:
                    await asyncio.sleep(pause_ms / 1000)
                except asyncio.CancelledError:
                    failed(
                        log, call, after.name, attempt, "CancelledError", "It was stopped before it was tried again."
                    )
                    raise
        else:
            took_ms = round((loop.time() - began_s) * 1000)
            log.write(
                AfterDone(assistant=call.assistant, hook=after.name, attempts=attempt, took_ms=took_ms), writer=WRITER
            )
            return True
    return False


def failed(
    log: EventLog, call: FinishedCall, hook: str, attempt: int, error: str, message: str, retry_ms: int | None = None
) -> None:
    """Write that an attempt has failed."""
    log.write(
        AfterFailed(
            assistant=call.assistant, hook=hook, attempt=attempt, error=error, retry_ms=retry_ms, message=message
        ),
        writer=WRITER,
    )


class Work:
    """What has to be done after calls: so much of it at once, the rest waits its turn.

    lost: called with what can wait no more, or is given up.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._waiting: deque[tuple[Callable[[], Coroutine[Any, Any, Any]], Callable[[], None]]] = deque()

    def __len__(self) -> int:
        return len(self._running) + len(self._waiting)

    def add(self, begin: Callable[[], Coroutine[Any, Any, Any]], lost: Callable[[], None]) -> None:
        """Do it as soon as may be. lost: what to do if it never begins."""
        if len(self._running) < _AT_ONCE:
            self._begin(begin)
        elif len(self._waiting) < _WAITING:
            self._waiting.append((begin, lost))
        else:
            lost()

    def _begin(self, begin: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        task = asyncio.get_running_loop().create_task(begin(), name="after a call")
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("work after a call has failed", exc_info=task.exception())
        while self._waiting and len(self._running) < _AT_ONCE:
            begin, _ = self._waiting.popleft()
            self._begin(begin)

    def _mine(self) -> set[asyncio.Task[Any]]:
        """What runs, but for who asks: a hook that waits for all hooks would wait for itself."""
        return self._running - {asyncio.current_task()}

    async def done(self, timeout_ms: int) -> bool:
        """Wait until nothing is left to do, for so long at most. Returns whether nothing is left."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_ms / 1000
        while running := self._mine():
            left_s = until - loop.time()
            if left_s <= 0:
                return False
            await asyncio.wait(running, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        return True

    async def stop(self) -> None:
        """Give up what is left."""
        waiting, self._waiting = self._waiting, deque()
        for _, lost in waiting:
            lost()
        running = self._mine()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=1)
