"""The voice activity detector of WebRTC, from the package webrtcvad-wheels."""

from __future__ import annotations

from ...extras import optional
from .base import VAD, VADSettings, Window

__all__ = ["WebRTCVAD"]


class WebRTCVAD(VAD):
    """The detector of the WebRTC project: six energy bands and a mixture model, of 2013. Very cheap, easily fooled.

    It calls loud noise speech, so it stands behind the gate: raise `gate_dbfs` above the noise of the line.
    `aggressiveness` is its mode, from 0 (lenient) to 3. Its verdict is yes or no; the probability is 1 or 0.

    Raises `MissingExtra` if its package is not installed.
    """

    def __init__(self, settings: VADSettings | None = None) -> None:
        super().__init__(settings)
        package = optional("webrtcvad", extra="vad", what="WebRTCVAD")
        self._detector = package.Vad(self.settings.aggressiveness)

    def hear(self, window: Window) -> None:
        loud = window.rms >= self._gate_rms
        self.judge(window, 1.0 if loud and self._detector.is_speech(window.pcm, self._rate) else 0.0)

    def configure(self) -> None:
        self._detector.set_mode(self.settings.aggressiveness)
