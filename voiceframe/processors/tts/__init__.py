"""Text to speech. The voices of providers are in modules of their own, which import nothing before they are used."""

from .base import TTS, TTSSettings
from .cache import PromptCache, PromptCacheSettings, shared_cache
from .espeak import EspeakSettings, EspeakTTS, prepare
from .sentences import Sentences, split_sentences
from .stream import Chunk, Done, Failed, SentenceStream, TTSStream

__all__ = [
    "TTS",
    "Chunk",
    "Done",
    "EspeakSettings",
    "EspeakTTS",
    "Failed",
    "PromptCache",
    "PromptCacheSettings",
    "SentenceStream",
    "Sentences",
    "TTSSettings",
    "TTSStream",
    "prepare",
    "shared_cache",
    "split_sentences",
]
