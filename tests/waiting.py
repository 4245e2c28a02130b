"""Waiting in tests with sockets: for something, and for as long as a slow machine needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voiceframe.frames import ReplyEndedFrame
from voiceframe.processors.stt import STTSettings
from voiceframe.testing.run import Rig
from voiceframe.testing.slowness import slowness


def quick() -> STTSettings:
    """Settings with which a recognizer finds a dead connection soon."""
    by = slowness()
    return STTSettings(
        silent_ms=round(300 * by), ping_ms=round(300 * by), result_ms=round(3_000 * by), connect_ms=20_000, lead_ms=0
    )


async def until(condition: Callable[[], object]) -> None:
    """Wait until this is so. Raises `AssertionError` if it does not come to be."""
    for _ in range(round(2_000 * slowness())):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it has not come to be")


async def ended(call: Rig, *replies: int) -> None:
    """Wait until these replies have ended."""
    await until(
        lambda: set(replies) <= {frame.reply for frame in call.result.down if isinstance(frame, ReplyEndedFrame)}
    )
