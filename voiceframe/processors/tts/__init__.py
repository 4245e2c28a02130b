"""Text to speech."""

from .base import TTS, TTSSettings
from .cache import PromptCache, PromptCacheSettings, shared_cache
from .espeak import EspeakSettings, EspeakTTS, prepare
from .sentences import Sentences, split_sentences
from .stream import Chunk, Done, SentenceStream, TTSStream

__all__ = [
    "TTS",
    "Chunk",
    "Done",
    "EspeakSettings",
    "EspeakTTS",
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
