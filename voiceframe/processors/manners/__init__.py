"""Manners: voicemail, idle callers, hold, noise and languages, as settings. See `docs/manners.md`."""

from .hold import HoldSettings
from .idle import IdleSettings
from .languages import Language, LanguageSettings
from .manners import Manners
from .noise import NoiseSettings
from .voicemail import VoicemailSettings

__all__ = [
    "HoldSettings",
    "IdleSettings",
    "Language",
    "LanguageSettings",
    "Manners",
    "NoiseSettings",
    "VoicemailSettings",
]
