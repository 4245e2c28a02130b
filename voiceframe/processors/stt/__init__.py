"""Speech to text."""

from .base import STT, STTSettings
from .pocketsphinx import PocketSphinxSettings, PocketSphinxSTT
from .stream import Final, Interim, STTStream

__all__ = ["STT", "Final", "Interim", "PocketSphinxSTT", "PocketSphinxSettings", "STTSettings", "STTStream"]
