"""Voiceframe: phone and browser voice agents on machines that you control.

Everything that a bot needs day to day is here; each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .app import App as App
    from .app import Limits as Limits
    from .assistant import Assistant as Assistant
    from .audio import Audio as Audio
    from .audio import AudioFormat as AudioFormat
    from .call import Call as Call
    from .call import CallSettings as CallSettings
    from .call import Heard as Heard
    from .call import Reply as Reply
    from .checks import Check as Check
    from .checks import Report as Report
    from .engine import EngineSettings as EngineSettings
    from .errors import Reject as Reject
    from .errors import VoiceframeError as VoiceframeError
    from .pipeline import Parallel as Parallel
    from .pipeline import Pipeline as Pipeline
    from .processor import Observer as Observer
    from .processor import Processor as Processor
    from .processor import handles as handles
    from .processor import observes as observes
    from .processors.agents import Agent as Agent
    from .processors.agents import Router as Router
    from .processors.agents import Squad as Squad
    from .processors.guardrails import Guardrail as Guardrail

_HOMES = {
    "Agent": "processors.agents",
    "App": "app",
    "Assistant": "assistant",
    "Audio": "audio",
    "AudioFormat": "audio",
    "Call": "call",
    "CallSettings": "call",
    "Check": "checks",
    "EngineSettings": "engine",
    "Guardrail": "processors.guardrails",
    "Heard": "call",
    "Limits": "app",
    "Observer": "processor",
    "Parallel": "pipeline",
    "Pipeline": "pipeline",
    "Processor": "processor",
    "Reject": "errors",
    "Reply": "call",
    "Report": "checks",
    "Router": "processors.agents",
    "Squad": "processors.agents",
    "VoiceframeError": "errors",
    "handles": "processor",
    "observes": "processor",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
