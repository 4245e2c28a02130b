"""What hears the caller's audio before everybody else: tones, music and noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...frames import BotStartedSpeakingFrame, BotStoppedSpeakingFrame, InputAudioFrame
from ...processor import Processor, handles, observes
from .line import Silences
from .sound import RATE, Slicer

if TYPE_CHECKING:
    from .beep import Beep, BeepDetector
    from .hold import Hold, Why
    from .noise import NoiseWatch, Noisy

__all__ = ["Ears"]


class Ears(Processor):
    """Stands before the VAD. What it hears it tells by callbacks; audio goes on as it came, but during a hold.

    beeps is None, and is set and taken away, as a machine is looked for.
    """

    def __init__(self) -> None:
        self.beeps: BeepDetector | None = None
        self.hold: Hold | None = None
        self.noise: NoiseWatch | None = None
        #: Whether those behind hear silence from now on.
        self.deaf = False
        self.on_beep: Callable[[Beep, int], None] = lambda beep, at_ms: None
        self.on_hold: Callable[[Why | str], None] = lambda what: None
        self.on_noise: Callable[[Noisy], None] = lambda noisy: None
        self._slicer: Slicer | None = None
        self._spectrum = False
        self._bot = False
        self._silences = Silences()

    @observes(BotStartedSpeakingFrame, upstream=True)
    def on_bot_started(self, frame: BotStartedSpeakingFrame) -> None:
        self._bot = True

    @observes(BotStoppedSpeakingFrame, upstream=True)
    def on_bot_stopped(self, frame: BotStoppedSpeakingFrame) -> None:
        self._bot = False

    @handles(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> InputAudioFrame:
        beeps, hold, noise = self.beeps, self.hold, self.noise
        if self.deaf:
            return frame.replace(audio=self._silences.like(frame.audio))
        if beeps is None and hold is None and noise is None:
            return frame
        spectrum = beeps is not None or hold is not None
        slicer = self._slicer
        if slicer is None or spectrum != self._spectrum:
            slicer = self._slicer = Slicer(spectrum=spectrum)
            self._spectrum = spectrum
        rms = 0
        for slice in slicer.feed(frame.audio.pcm(RATE)):
            rms = max(rms, slice.rms)
            if beeps is not None and (beep := beeps.hear(slice)) is not None:
                self.on_beep(beep, frame.at_ms)
            # The echo of what the bot plays (a jingle, say) is no music of the caller's. A hold goes on meanwhile.
            if hold is not None and (hold.active or not self._bot) and (what := hold.hear(slice)) is not None:
                self.on_hold(what)
            if noise is not None and (noisy := noise.hear(slice)) is not None:
                self.on_noise(noisy)
        return frame if hold is None else hold.through(frame, rms)
