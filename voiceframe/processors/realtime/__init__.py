"""Ears and mouth in one: models that hear and speak themselves."""

from .base import Realtime, RealtimeSettings
from .openai import OpenAIRealtime, OpenAIRealtimeSettings
from .stream import RealtimeConfig, RealtimeStream

__all__ = [
    "OpenAIRealtime",
    "OpenAIRealtimeSettings",
    "Realtime",
    "RealtimeConfig",
    "RealtimeSettings",
    "RealtimeStream",
]
