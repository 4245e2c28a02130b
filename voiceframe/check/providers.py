"""What its providers need: keys, SDKs, and models that there are."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from ..checks import Check
from ..errors import MissingExtra
from ..llm import LLM
from ..prices import prices
from ..provider import Vendor
from .questions import judged

__all__ = ["models", "numbered", "provider_needs"]

#: The package of each extra: what is imported when the provider is first used.
_PACKAGES: Final = {
    "anthropic": "anthropic",
    "cartesia": "cartesia",
    "deepgram": "deepgram",
    "elevenlabs": "websockets",
    "google": "google.genai",
    "openai": "openai",
}


def provider_needs(processor: Any) -> tuple[Callable[[Any], str], ...]:
    """What is to be asked of a processor that is a recognizer, a voice or both of a vendor; nothing of others."""
    return (_sdk, _key) if isinstance(getattr(processor, "vendor", None), Vendor) else ()


def _sdk(processor: Any) -> str:
    vendor: Vendor = processor.vendor
    package = _PACKAGES.get(vendor.extra, vendor.extra)
    if not _is_there(package):
        raise MissingExtra.of("extra.missing", what=type(processor).__name__, package=package, extra=vendor.extra)
    return f"package {package}"


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it is in
        return False


def _key(processor: Any) -> str:
    """A voice has looked for its key when it was made; the others look when they connect, and say what is missing."""
    vendor: Vendor = processor.vendor
    if hasattr(type(processor), "key"):
        _ = processor.key
    return f"a key of {vendor.name} is there"


def _asked(processor: Any) -> tuple[str, str]:
    """The vendor and the model, if it asks a vendor: what another server calls its models is its own affair."""
    llm = getattr(processor, "llm", None)
    if isinstance(llm, LLM):
        return (llm.vendor, llm.model) if getattr(llm, "is_vendors", False) else ("", "")
    if not any(cls.__name__ == "Realtime" for cls in type(processor).__mro__):
        return "", ""
    vendor: Vendor = processor.vendor
    own = urlsplit(processor.place.http(vendor)).hostname == urlsplit(vendor.url).hostname
    return (vendor.name, processor.model) if own else ("", "")


def numbered(id: str, taken: set[str]) -> str:
    """The id, with a number if it is taken; it is taken from now on."""
    made, number = id, 1
    while made in taken:
        number += 1
        made = f"{id}-{number}"
    taken.add(made)
    return made


def models(processor: Any, taken: set[str]) -> Iterator[Check]:
    """Whether the language model that it asks is one of which the vendor has told."""
    vendor, model = _asked(processor)
    if not (vendor and model):
        return
    id, title = numbered(f"model.{processor.name}", taken), f"{processor.name} asks a model that there is"
    known = sorted(name.partition("/")[2] for name in prices().table if name.startswith(f"{vendor}/"))
    if prices().find(vendor, model) is not None:
        yield judged(id, "pass", f"{vendor}/{model}", title=title)
    elif known:
        nearest = difflib.get_close_matches(model, known, n=1, cutoff=0)[0]
        yield judged(
            id,
            "warn",
            f"{vendor}/{model} is not known here; the nearest is {nearest}. Known: {', '.join(known)}.",
            f"Write `{nearest}` if that is meant. If it is a newer one, give its price in `VOICEFRAME_PRICES_FILE`.",
            title,
        )
