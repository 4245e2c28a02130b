"""Keys that come as sound, on lines that do not tell of them in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frames import InputAudioFrame, InputDTMFFrame
from ..processor import Processor, observes

if TYPE_CHECKING:
    from ..keys import DTMFDetector

__all__ = ["InbandDTMF"]


class InbandDTMF(Processor):
    """Hears keys in the caller's audio and pushes an `InputDTMFFrame` for each press; the audio goes on untouched.

    Put it behind the source. Not for lines that send keys as messages of their own (Twilio, Telnyx and Plivo do): each
    press would count twice. A press is told at most 45 ms after it began (`voiceframe.keys` has its limits).
    """

    def __init__(self) -> None:
        self._detector: DTMFDetector | None = None
        self._rate = 0

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        audio = frame.audio
        rate = audio.format.rate
        detector = self._detector
        if detector is None or rate != self._rate:
            from ..keys import DTMFDetector

            detector = self._detector = DTMFDetector(rate)
            self._rate = rate
        for digit in detector.feed(audio.pcm(rate)):
            self.push(InputDTMFFrame(digit, at_ms=frame.at_ms))
