"""A language model by name, as settings have it."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from ..errors import ProviderError
from ..provider import choose
from .base import LLMSettings, VendorLLM

__all__ = ["llm"]

#: The module and the class for each name.
_KNOWN: Final = {
    "anthropic": ("anthropic", "Anthropic"),
    "gemini": ("gemini", "Gemini"),
    "google": ("gemini", "Gemini"),
    "openai": ("openai", "OpenAI"),
}


def llm(name: str = "", model: str = "", **settings: Any) -> VendorLLM:
    """The model of a vendor by name: `llm("openai/gpt-4.1-mini")`, or `llm("anthropic", "claude-haiku-4-5")`.

    name: by default that of the settings, `VOICEFRAME_LLM_MODEL`.
    settings: what the vendor's class takes: `api_key`, `place`, `settings`, `options`, and its own.

    Raises `ProviderError` (`provider.unknown`) for a vendor that is not known, or without a model.
    """
    vendor, _, rest = (name or LLMSettings.load().model).partition("/")
    module, cls = choose("vendor of language models", vendor, _KNOWN, by="llm()")
    model = model or rest
    if not model:
        raise ProviderError.of(
            "provider.unknown",
            kind=f"model of {vendor}",
            name="''",
            nearest=f"what you name behind the slash of '{vendor}/'",
            known="the vendor's models",
            by=f'llm("{vendor}/...")',
        )
    made: VendorLLM = getattr(import_module(f".{module}", __package__), cls)(model, **settings)
    return made
