"""The garbage collector beside calls."""

from __future__ import annotations

import asyncio
import gc

from voiceframe.collector import without_pauses


class Node:
    """Something in a circle."""

    def __init__(self) -> None:
        self.me = self


async def test_what_is_there_is_set_aside_and_garbage_is_not() -> None:
    calls, made = 0, []
    frozen = gc.get_freeze_count()
    async with without_pauses(lambda: calls):
        first = gc.get_freeze_count()
        assert first > frozen + 1_000
        assert len(gc.get_objects()) < first  # so little is looked at from now on
        calls = 1
        await asyncio.sleep(6)
        made += [Node() for _ in range(1_000)]  # what the first calls load
        for _ in range(1_000):
            Node()  # and what they leave
        assert gc.get_freeze_count() <= first
        calls = 0
        await asyncio.sleep(6)
        # Of what was set aside before some may be gone.
        assert first + 900 <= gc.get_freeze_count() < first + 1_900
        again = gc.get_freeze_count()
        await asyncio.sleep(60)  # nothing has come since
        assert gc.get_freeze_count() <= again
    assert gc.get_freeze_count() == 0
