"""What a test has left behind: tasks that still run, and calls that have not ended."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Iterator
from typing import Any

from ..errors import TestKitError

__all__ = ["leftovers", "no_leaks"]


def leftovers(loop: asyncio.AbstractEventLoop, before: frozenset[asyncio.Task[Any]] = frozenset()) -> list[str]:
    """What still runs on `loop` beside the current task and those in `before`, one description each."""
    current = asyncio.current_task(loop) if loop.is_running() else None
    found: list[str] = []
    for task in asyncio.all_tasks(loop):
        if task.done() or task is current or task in before:
            continue
        coro: Any = task.get_coro()
        frame = getattr(coro, "cr_frame", None)
        where = f" at line {frame.f_lineno} of {frame.f_code.co_filename}" if frame is not None else ""
        found.append(f"the task {getattr(coro, '__qualname__', task.get_name())}{where}")
    return sorted(found)


@contextlib.contextmanager
def no_leaks() -> Iterator[None]:
    """Raise `TestKitError` (`test.leak`) if the block leaves tasks or threads behind. Use it inside a running loop."""
    loop = asyncio.get_running_loop()
    before = frozenset(asyncio.all_tasks(loop))
    threads = set(threading.enumerate())
    yield
    found = leftovers(loop, before)
    found += [
        f"the thread {thread.name}"
        for thread in threading.enumerate()
        if thread not in threads and thread.is_alive() and not thread.daemon
    ]
    if found:
        raise TestKitError.of("test.leak", what="; ".join(found))
    gc.collect(0)
