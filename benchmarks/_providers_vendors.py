"""The vendors by name: each provider with the local server of its vendor, for the benchmarks of providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from voiceframe.audio import Audio, AudioFormat
from voiceframe.llm import LLM
from voiceframe.processors.stt import (
    CartesiaSTT,
    CloudSTT,
    DeepgramSTT,
    ElevenLabsSTT,
    OpenAISTT,
    STTSettings,
)
from voiceframe.processors.tts import TTS, PromptCache, PromptCacheSettings
from voiceframe.processors.tts.cartesia import CartesiaTTS, CartesiaTTSSettings
from voiceframe.processors.tts.deepgram import DeepgramTTS, DeepgramTTSSettings
from voiceframe.processors.tts.elevenlabs import ElevenLabsTTS, ElevenLabsTTSSettings
from voiceframe.processors.tts.openai import OpenAITTS, OpenAITTSSettings
from voiceframe.provider import Place
from voiceframe.providers import Anthropic, Gemini, LLMSettings, OpenAI
from voiceframe.testing.providers.anthropic import FakeAnthropic
from voiceframe.testing.providers.cartesia_stt import FakeCartesiaSTT
from voiceframe.testing.providers.cartesia_tts import FakeCartesiaTTS
from voiceframe.testing.providers.deepgram_stt import FakeDeepgramSTT
from voiceframe.testing.providers.deepgram_tts import FakeDeepgramTTS
from voiceframe.testing.providers.elevenlabs_stt import FakeElevenLabsSTT
from voiceframe.testing.providers.elevenlabs_tts import FakeElevenLabsTTS
from voiceframe.testing.providers.gemini import FakeGemini
from voiceframe.testing.providers.hearing import FakeRecognizer, sound
from voiceframe.testing.providers.openai import FakeOpenAI
from voiceframe.testing.providers.openai_stt import FakeOpenAISTT
from voiceframe.testing.providers.openai_tts import FakeOpenAITTS
from voiceframe.testing.providers.scripts import FakeLLM
from voiceframe.testing.providers.voices_tts import FakeVoice

__all__ = ["FAKE_LLM", "FAKE_STT", "FAKE_TTS", "TELLS_WORDS", "caller_voice", "model", "recognizer", "voice"]

FAKE_STT: Final[Mapping[str, Callable[[], FakeRecognizer]]] = {
    "deepgram": FakeDeepgramSTT,
    "openai": FakeOpenAISTT,
    "elevenlabs": FakeElevenLabsSTT,
    "cartesia": FakeCartesiaSTT,
}
FAKE_TTS: Final[Mapping[str, Callable[[], FakeVoice]]] = {
    "cartesia": FakeCartesiaTTS,
    "elevenlabs": FakeElevenLabsTTS,
    "deepgram": FakeDeepgramTTS,
    "openai": FakeOpenAITTS,
}
FAKE_LLM: Final[Mapping[str, Callable[[], FakeLLM]]] = {
    "openai": FakeOpenAI,
    "openai-responses": FakeOpenAI,
    "anthropic": FakeAnthropic,
    "gemini": FakeGemini,
}
#: Voices that tell where in the sound their words are: of them a word cut in two is known to the sample.
TELLS_WORDS: Final = frozenset({"cartesia", "elevenlabs"})

_STT: Final[Mapping[str, type[CloudSTT]]] = {
    "deepgram": DeepgramSTT,
    "openai": OpenAISTT,
    "elevenlabs": ElevenLabsSTT,
    "cartesia": CartesiaSTT,
}
_TTS: Final[Mapping[str, tuple[Any, Any]]] = {
    "cartesia": (CartesiaTTS, CartesiaTTSSettings),
    "elevenlabs": (ElevenLabsTTS, ElevenLabsTTSSettings),
    "deepgram": (DeepgramTTS, DeepgramTTSSettings),
    "openai": (OpenAITTS, OpenAITTSSettings),
}


def recognizer(vendor: str, fake: FakeRecognizer, settings: STTSettings | None = None) -> CloudSTT:
    """The recognizer of a vendor, at its fake."""
    make: Any = _STT[vendor]
    found: CloudSTT = make(stt=settings or STTSettings(), place=Place(fake.url), api_key=fake.key)
    return found


def voice(vendor: str, fake: FakeVoice, **settings: Any) -> TTS:
    """The voice of a vendor, at its fake. It keeps no sentences: each is asked for."""
    make, of = _TTS[vendor]
    found: TTS = make(
        of(**settings),
        place=Place(f"{fake.url}/v1" if vendor == "openai" else fake.url),
        api_key=fake.key,
        cache=PromptCache(PromptCacheSettings(memory_mb=0)),
    )
    return found


def model(vendor: str, fake: FakeLLM, settings: LLMSettings | None = None) -> LLM:
    """The model of a vendor, at its fake."""
    settings = settings or LLMSettings()
    if vendor == "anthropic":
        return Anthropic("claude-haiku-4-5", place=Place(fake.url), api_key=fake.key, settings=settings)
    if vendor == "gemini":
        return Gemini("gemini-2.5-flash", place=Place(fake.url), api_key=fake.key, settings=settings)
    api: Any = "responses" if vendor == "openai-responses" else "chat"
    return OpenAI("gpt-4.1-mini", api=api, place=Place(f"{fake.url}/v1"), api_key=fake.key, settings=settings)


def caller_voice(text: str) -> bytes:
    """How a caller speaks whom the fakes of recognizers understand: mono s16le at 8 kHz."""
    return Audio(sound(text), AudioFormat("mulaw", 8_000)).pcm(8_000)
