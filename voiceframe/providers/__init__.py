"""Language models of vendors, each by its official SDK. Each name is loaded when it is first used.

from voiceframe.providers import Anthropic, Gemini, OpenAI, llm
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .anthropic import Anthropic as Anthropic
    from .base import LLMSettings as LLMSettings
    from .base import VendorLLM as VendorLLM
    from .gemini import Gemini as Gemini
    from .named import llm as llm
    from .openai import OpenAI as OpenAI

_HOMES = {
    "Anthropic": "anthropic",
    "Gemini": "gemini",
    "LLMSettings": "base",
    "OpenAI": "openai",
    "VendorLLM": "base",
    "llm": "named",
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
