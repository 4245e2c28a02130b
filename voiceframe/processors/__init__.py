"""What may stand in a pipeline, by kind. Each name is loaded when it is first used.

from voiceframe.processors import EspeakTTS, PocketSphinxSTT, Recorder, SileroVAD, Turns
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents import Agent as Agent
    from .agents import AgentSettings as AgentSettings
    from .agents import Destination as Destination
    from .agents import Generated as Generated
    from .agents import HandoffRequest as HandoffRequest
    from .agents import Router as Router
    from .agents import RouterSettings as RouterSettings
    from .agents import Squad as Squad
    from .agents import SquadSettings as SquadSettings
    from .agents.auditor import Auditor as Auditor
    from .agents.auditor import AuditorSettings as AuditorSettings
    from .dtmf import InbandDTMF as InbandDTMF
    from .expects import Expects as Expects
    from .guardrails import Guardrail as Guardrail
    from .manners import HoldSettings as HoldSettings
    from .manners import IdleSettings as IdleSettings
    from .manners import Language as Language
    from .manners import LanguageSettings as LanguageSettings
    from .manners import Manners as Manners
    from .manners import NoiseSettings as NoiseSettings
    from .manners import VoicemailSettings as VoicemailSettings
    from .observers import AuditObserver as AuditObserver
    from .observers import LatencyObserver as LatencyObserver
    from .observers import TraceObserver as TraceObserver
    from .realtime import OpenAIRealtime as OpenAIRealtime
    from .realtime import OpenAIRealtimeSettings as OpenAIRealtimeSettings
    from .realtime import Realtime as Realtime
    from .realtime import RealtimeSettings as RealtimeSettings
    from .recording import Recorder as Recorder
    from .stt import STT as STT
    from .stt import CartesiaSTT as CartesiaSTT
    from .stt import CartesiaSTTSettings as CartesiaSTTSettings
    from .stt import CartesiaTurnsSettings as CartesiaTurnsSettings
    from .stt import CartesiaTurnsSTT as CartesiaTurnsSTT
    from .stt import DeepgramFluxSettings as DeepgramFluxSettings
    from .stt import DeepgramFluxSTT as DeepgramFluxSTT
    from .stt import DeepgramSTT as DeepgramSTT
    from .stt import DeepgramSTTSettings as DeepgramSTTSettings
    from .stt import ElevenLabsSTT as ElevenLabsSTT
    from .stt import ElevenLabsSTTSettings as ElevenLabsSTTSettings
    from .stt import OpenAISTT as OpenAISTT
    from .stt import OpenAISTTSettings as OpenAISTTSettings
    from .stt import PocketSphinxSettings as PocketSphinxSettings
    from .stt import PocketSphinxSTT as PocketSphinxSTT
    from .stt import STTSettings as STTSettings
    from .tts import TTS as TTS
    from .tts import EspeakSettings as EspeakSettings
    from .tts import EspeakTTS as EspeakTTS
    from .tts import TTSSettings as TTSSettings
    from .tts.cartesia import CartesiaTTS as CartesiaTTS
    from .tts.cartesia import CartesiaTTSSettings as CartesiaTTSSettings
    from .tts.deepgram import DeepgramTTS as DeepgramTTS
    from .tts.deepgram import DeepgramTTSSettings as DeepgramTTSSettings
    from .tts.elevenlabs import ElevenLabsTTS as ElevenLabsTTS
    from .tts.elevenlabs import ElevenLabsTTSSettings as ElevenLabsTTSSettings
    from .tts.openai import OpenAITTS as OpenAITTS
    from .tts.openai import OpenAITTSSettings as OpenAITTSSettings
    from .turn import Turns as Turns
    from .turn import TurnSettings as TurnSettings
    from .vad import EnergyVAD as EnergyVAD
    from .vad import SileroVAD as SileroVAD
    from .vad import VADSettings as VADSettings
    from .vad import WebRTCVAD as WebRTCVAD

_HOMES = {
    "Agent": "agents",
    "AgentSettings": "agents",
    "AuditObserver": "observers",
    "Auditor": "agents.auditor",
    "AuditorSettings": "agents.auditor",
    "CartesiaSTT": "stt",
    "CartesiaSTTSettings": "stt",
    "CartesiaTTS": "tts.cartesia",
    "CartesiaTTSSettings": "tts.cartesia",
    "CartesiaTurnsSTT": "stt",
    "CartesiaTurnsSettings": "stt",
    "DeepgramFluxSTT": "stt",
    "DeepgramFluxSettings": "stt",
    "DeepgramSTT": "stt",
    "DeepgramSTTSettings": "stt",
    "DeepgramTTS": "tts.deepgram",
    "DeepgramTTSSettings": "tts.deepgram",
    "Destination": "agents",
    "ElevenLabsSTT": "stt",
    "ElevenLabsSTTSettings": "stt",
    "ElevenLabsTTS": "tts.elevenlabs",
    "ElevenLabsTTSSettings": "tts.elevenlabs",
    "EnergyVAD": "vad",
    "EspeakSettings": "tts",
    "EspeakTTS": "tts",
    "Expects": "expects",
    "Generated": "agents",
    "HoldSettings": "manners",
    "IdleSettings": "manners",
    "Guardrail": "guardrails",
    "HandoffRequest": "agents",
    "InbandDTMF": "dtmf",
    "Language": "manners",
    "LanguageSettings": "manners",
    "LatencyObserver": "observers",
    "Manners": "manners",
    "NoiseSettings": "manners",
    "OpenAIRealtime": "realtime",
    "OpenAIRealtimeSettings": "realtime",
    "OpenAISTT": "stt",
    "OpenAISTTSettings": "stt",
    "OpenAITTS": "tts.openai",
    "OpenAITTSSettings": "tts.openai",
    "PocketSphinxSTT": "stt",
    "PocketSphinxSettings": "stt",
    "Realtime": "realtime",
    "RealtimeSettings": "realtime",
    "Recorder": "recording",
    "Router": "agents",
    "RouterSettings": "agents",
    "STT": "stt",
    "STTSettings": "stt",
    "SileroVAD": "vad",
    "Squad": "agents",
    "SquadSettings": "agents",
    "TTS": "tts",
    "TTSSettings": "tts",
    "TraceObserver": "observers",
    "TurnSettings": "turn",
    "Turns": "turn",
    "VADSettings": "vad",
    "VoicemailSettings": "manners",
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
