"""Turn taking: when the caller has finished, and when the bot must stop."""

from .analyzers import AdaptiveEndpointing, FixedEndpointing, Pause, TurnAnalyzer
from .presets import PRESETS, Preset, preset
from .settings import TurnSettings
from .turns import Turns

__all__ = [
    "PRESETS",
    "AdaptiveEndpointing",
    "FixedEndpointing",
    "Pause",
    "Preset",
    "TurnAnalyzer",
    "TurnSettings",
    "Turns",
    "preset",
]
