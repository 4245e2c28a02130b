"""Local servers that speak the published protocols of vendors, for tests with the official SDKs.

Each is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .server import Asked, FakeProvider, FakeSocket, Fault

if TYPE_CHECKING:
    from .anthropic import FakeAnthropic as FakeAnthropic
    from .cartesia_stt import FakeCartesiaSTT as FakeCartesiaSTT
    from .cartesia_tts import FakeCartesiaTTS as FakeCartesiaTTS
    from .deepgram_stt import FakeDeepgramSTT as FakeDeepgramSTT
    from .deepgram_tts import FakeDeepgramTTS as FakeDeepgramTTS
    from .elevenlabs_stt import FakeElevenLabsSTT as FakeElevenLabsSTT
    from .elevenlabs_tts import FakeElevenLabsTTS as FakeElevenLabsTTS
    from .gemini import FakeGemini as FakeGemini
    from .hearing import FakeRecognizer as FakeRecognizer
    from .hearing import sound as sound
    from .openai import FakeOpenAI as FakeOpenAI
    from .openai_realtime import FakeOpenAIRealtime as FakeOpenAIRealtime
    from .openai_stt import FakeOpenAISTT as FakeOpenAISTT
    from .openai_tts import FakeOpenAITTS as FakeOpenAITTS
    from .scripts import FakeLLM as FakeLLM
    from .voices_tts import FakeVoice as FakeVoice

_HOMES = {
    "FakeAnthropic": "anthropic",
    "FakeCartesiaSTT": "cartesia_stt",
    "FakeCartesiaTTS": "cartesia_tts",
    "FakeDeepgramSTT": "deepgram_stt",
    "FakeDeepgramTTS": "deepgram_tts",
    "FakeElevenLabsSTT": "elevenlabs_stt",
    "FakeElevenLabsTTS": "elevenlabs_tts",
    "FakeGemini": "gemini",
    "FakeLLM": "scripts",
    "FakeOpenAI": "openai",
    "FakeOpenAIRealtime": "openai_realtime",
    "FakeOpenAISTT": "openai_stt",
    "FakeOpenAITTS": "openai_tts",
    "FakeRecognizer": "hearing",
    "FakeVoice": "voices_tts",
    "sound": "hearing",
}

__all__ = ["Asked", "FakeProvider", "FakeSocket", "Fault", *_HOMES]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value
