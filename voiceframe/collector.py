"""Keeps the garbage collector from stopping calls: what lives as long as the process is not looked at again and again.

A full collection looks at every object of the process. After the imports of a bot those are some hundred thousand, and
all calls wait for it: 20 to 70 ms, now and then. So it is done while there are no calls, and what is left by then is
set aside (`gc.freeze()`); from then on a collection looks at what calls have made, which is little.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from typing import Final

__all__ = ["set_aside", "without_pauses"]

#: How often it is looked whether there are no calls.
_LOOK_S: Final = 5.0


def set_aside() -> None:
    """Collect what is garbage now, and look no more at what is not. Takes as long as a full collection."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@contextlib.asynccontextmanager
async def without_pauses(calls: Callable[[], int]) -> AsyncIterator[None]:
    """Set aside what is there now, and whenever calls have come and all have gone. calls: how many there are."""
    set_aside()
    task = asyncio.get_running_loop().create_task(_whenever_idle(calls))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        gc.unfreeze()


async def _whenever_idle(calls: Callable[[], int]) -> None:
    had = False  # calls since it was done last: the first ones import and load what they need
    while True:
        await asyncio.sleep(_LOOK_S)
        if calls():
            had = True
        elif had:
            had = False
            set_aside()
