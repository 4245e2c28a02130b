"""A caller for tests of recognizers by their local servers, faster than real time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.waiting import quick
from voiceframe.audio import PCM_16K, PCMU_8K, Audio
from voiceframe.frames import (
    Frame,
    InputAudioFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.testing.providers.hearing import sound
from voiceframe.testing.run import Rig

__all__ = ["QUICK", "Line"]

QUICK = quick()


class Line:
    """A caller, faster than real time."""

    def __init__(self, call: Rig) -> None:
        self.call = call
        self.at_ms = 0

    async def audio(self, data: bytes, *, wide: bool = False) -> None:
        for at in range(0, len(data), 160):
            piece = Audio(data[at : at + 160], PCMU_8K)
            self.at_ms += 20
            self.call.push(InputAudioFrame(Audio(piece.pcm(16_000), PCM_16K) if wide else piece, at_ms=self.at_ms))
            await asyncio.sleep(0.001)

    async def speaks(self, data: bytes, **how: bool) -> None:
        self.call.push(VADUserStartedSpeakingFrame(began_ms=self.at_ms))
        await self.audio(data, **how)
        self.call.push(VADUserStoppedSpeakingFrame(ended_ms=self.at_ms))

    async def until(self, done: Callable[[], bool], *, silence: bool = False) -> None:
        for _ in range(3_000):
            if done():
                return
            if silence:
                await self.audio(sound("", after_ms=20))
            await asyncio.sleep(0.005)
        raise AssertionError([frame for frame in self.call.result.down if not isinstance(frame, InputAudioFrame)])

    def of(self, *kinds: type[Frame]) -> list[Any]:
        return [frame for frame in self.call.result.down if isinstance(frame, kinds)]

    @property
    def texts(self) -> list[str]:
        return [frame.text for frame in self.of(TranscriptionFrame)]
