"""A local provider for commands, which have an event loop of their own: it is served on a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import TypeVar

from voiceframe.testing.providers.server import FakeProvider

T = TypeVar("T", bound=FakeProvider)


@contextlib.contextmanager
def served(fake: T) -> Iterator[T]:
    """The fake on a port of this machine, for as long as the block runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(fake.__aenter__(), loop).result(10)
        try:
            yield fake
        finally:
            asyncio.run_coroutine_threadsafe(fake.__aexit__(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
