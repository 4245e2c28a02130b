"""What may stand in a pipeline, by kind. Each name is loaded when it is first used.

from voiceframe.processors import EspeakTTS, PocketSphinxSTT, Recorder, SileroVAD, Turns
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents import Agent as Agent
    from .dtmf import InbandDTMF as InbandDTMF
    from .observers import AuditObserver as AuditObserver
    from .observers import LatencyObserver as LatencyObserver
    from .observers import TraceObserver as TraceObserver
    from .recording import Recorder as Recorder
    from .stt import STT as STT
    from .stt import PocketSphinxSettings as PocketSphinxSettings
    from .stt import PocketSphinxSTT as PocketSphinxSTT
    from .tts import TTS as TTS
    from .tts import EspeakSettings as EspeakSettings
    from .tts import EspeakTTS as EspeakTTS
    from .tts import TTSSettings as TTSSettings
    from .turn import Turns as Turns
    from .turn import TurnSettings as TurnSettings
    from .vad import EnergyVAD as EnergyVAD
    from .vad import SileroVAD as SileroVAD
    from .vad import VADSettings as VADSettings
    from .vad import WebRTCVAD as WebRTCVAD

_HOMES = {
    "Agent": "agents",
    "AuditObserver": "observers",
    "EnergyVAD": "vad",
    "EspeakSettings": "tts",
    "EspeakTTS": "tts",
    "InbandDTMF": "dtmf",
    "LatencyObserver": "observers",
    "PocketSphinxSTT": "stt",
    "PocketSphinxSettings": "stt",
    "Recorder": "recording",
    "STT": "stt",
    "SileroVAD": "vad",
    "TTS": "tts",
    "TTSSettings": "tts",
    "TraceObserver": "observers",
    "TurnSettings": "turn",
    "Turns": "turn",
    "VADSettings": "vad",
    "WebRTCVAD": "vad",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
