"""Voice activity: when the caller speaks."""

from .base import VAD, VADSettings, Window
from .energy import EnergyVAD
from .silero import SileroVAD
from .webrtc import WebRTCVAD

__all__ = ["VAD", "EnergyVAD", "SileroVAD", "VADSettings", "WebRTCVAD", "Window"]
