"""What providers charge: a table of list prices, and the cost of what was used.

Prices are those of paying as one goes, in US dollars without tax, as known in November 2026; check them against your
invoice and the vendors' pages before you rely on them, for some were read in copies of these pages:

- https://developers.openai.com/api/docs/pricing and the pages of its models
- https://platform.claude.com/docs/en/about-claude/pricing
- https://ai.google.dev/gemini-api/docs/pricing
- https://deepgram.com/pricing

Vendors that sell credits by the month (Cartesia, ElevenLabs) have no list price: give yours. A price that is not known
is no price: the cost is None, never a guess. What a contract says goes in a file (`VOICEFRAME_PRICES_FILE`), TOML or
JSON, which is laid over the table:

    version = "our contract of 2026"

    ["openai/gpt-4.1-mini"]
    input = 0.32
    cached = 0.08
    output = 1.28

    ["cartesia/sonic-3"]
    characters = 35.0
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .errors import ConfigurationError
from .settings import Settings, setting

__all__ = ["LIST_PRICES", "Amounts", "Price", "PriceSettings", "Prices", "cost", "prices", "use_prices"]


class PriceSettings(Settings, prefix="PRICES"):
    """What providers charge."""

    file: str = setting(default="", doc="file with your own prices, TOML or JSON, laid over the list prices")


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a model costs, in US dollars; None: not known, or not charged for.

    input, cached, cache_write, output: a million tokens of text: what is sent, what of it was read from a cache and
        written to one, and what comes. Without `cached` or `cache_write` these tokens cost what others do.
    audio_input, audio_cached, audio_output: the same for tokens of sound.
    minute: a minute of sound. characters: a million characters.
    long_tokens, long: from so many input tokens in a request on, all of it has this price.
    """

    input: float | None = None
    cached: float | None = None
    cache_write: float | None = None
    output: float | None = None
    audio_input: float | None = None
    audio_cached: float | None = None
    audio_output: float | None = None
    minute: float | None = None
    characters: float | None = None
    long_tokens: int | None = None
    long: Price | None = None


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """What was used. Cached and written tokens are part of the input, tokens of sound of the input or the output."""

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    audio_input_tokens: int = 0
    audio_cached_tokens: int = 0
    audio_output_tokens: int = 0
    audio_ms: int = 0
    characters: int = 0


#: A date behind the name of a model: it is a snapshot of the same, with the same price.
_SNAPSHOT: Final = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{3}|latest)$")


@dataclass(frozen=True)
class Prices:
    """A table by `vendor/model`; `vendor/*` is for all others of a vendor. `version` goes into the events."""

    version: str
    table: Mapping[str, Price] = field(default_factory=dict)

    def find(self, vendor: str, model: str) -> Price | None:
        """The price of a model, of a dated snapshot of it too; None if it is not known."""
        for name in (model, _SNAPSHOT.sub("", model), "*"):
            price = self.table.get(f"{vendor}/{name}")
            if price is not None:
                return price
        return None

    def over(self, other: Prices) -> Prices:
        """These prices, and those of `other` for what is not here."""
        return Prices(f"{other.version}; {self.version}", {**other.table, **self.table})

    @classmethod
    def read(cls, path: str | Path) -> Prices:
        """The prices of a file. Raises `ConfigurationError` (`file.unusable`) for one that cannot be read."""
        path = Path(path)
        try:
            text = path.read_text("utf-8")
            found: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
            if not isinstance(found, dict):
                raise ValueError("it is no table")
            version = str(found.pop("version", path.name))
            return cls(version, {name: _price(name, fields) for name, fields in found.items()})
        except (OSError, ValueError) as error:
            raise ConfigurationError.of("file.unusable", path=path, done="read as prices", error=error) from error


def _price(name: str, fields: Any) -> Price:
    vendor, slash, model = name.partition("/")
    if not (vendor and slash and model):
        raise ValueError(f"{name!r} is no 'vendor/model'")
    if not isinstance(fields, dict):
        raise ValueError(f"{name!r} is no table of prices")
    known = {f.name for f in dataclasses.fields(Price)}
    values: dict[str, Any] = {}
    for key, value in fields.items():
        if key not in known:
            raise ValueError(f"{name!r} has {key!r}; a price has {', '.join(sorted(known))}")
        if key == "long":
            values[key] = _price(name, value)
        elif isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ValueError(f"{key!r} of {name!r} is {value!r}, which is no amount")
        else:
            values[key] = value
    return Price(**values)


def _text(input: float, cached: float, output: float, cache_write: float | None = None) -> Price:
    return Price(input=input, cached=cached, output=output, cache_write=cache_write)


def _claude(input: float, cached: float, output: float) -> Price:
    """Writing to the cache (for five minutes) costs a quarter more."""
    return _text(input, cached, output, input * 1.25)


def _realtime(text: tuple[float, float, float], audio: tuple[float, float, float]) -> Price:
    return Price(
        input=text[0],
        cached=text[1],
        output=text[2],
        audio_input=audio[0],
        audio_cached=audio[1],
        audio_output=audio[2],
    )


#: From their pages; a model that is missing has no price that could be checked.
LIST_PRICES: Final = Prices(
    "2026-11",
    {
        "openai/gpt-4.1": _text(2.00, 0.50, 8.00),
        "openai/gpt-4.1-mini": _text(0.40, 0.10, 1.60),
        "openai/gpt-4.1-nano": _text(0.10, 0.025, 0.40),
        "openai/gpt-4o": _text(2.50, 1.25, 10.00),
        "openai/gpt-4o-mini": _text(0.15, 0.075, 0.60),
        "openai/gpt-5-mini": _text(0.25, 0.025, 2.00),
        "openai/gpt-5.2": _text(1.75, 0.175, 14.00),
        "openai/gpt-5.4": _text(2.50, 0.25, 15.00),
        "openai/gpt-5.4-mini": _text(0.75, 0.075, 4.50),
        "openai/gpt-5.4-nano": _text(0.20, 0.02, 1.25),
        "openai/gpt-5.5": _text(5.00, 0.50, 30.00),
        "openai/gpt-realtime": _realtime((4.00, 0.40, 16.00), (32.00, 0.40, 64.00)),
        "openai/gpt-realtime-1.5": _realtime((4.00, 0.40, 16.00), (32.00, 0.40, 64.00)),
        "openai/gpt-realtime-2": _realtime((4.00, 0.40, 24.00), (32.00, 0.40, 64.00)),
        "openai/gpt-realtime-2.1": _realtime((4.00, 0.40, 24.00), (32.00, 0.40, 64.00)),
        "openai/gpt-realtime-2.1-mini": _realtime((0.60, 0.06, 2.40), (10.00, 0.30, 20.00)),
        "openai/gpt-realtime-mini": _realtime((0.60, 0.06, 2.40), (10.00, 0.30, 20.00)),
        "openai/gpt-realtime-whisper": Price(minute=0.017),
        "anthropic/claude-haiku-4-5": _claude(1.00, 0.10, 5.00),
        "anthropic/claude-haiku-5-5": dataclasses.replace(
            _claude(0.10, 0.01, 0.50), long_tokens=100_000, long=_claude(0.50, 0.05, 2.50)
        ),
        "anthropic/claude-sonnet-4-5": _claude(3.00, 0.30, 15.00),
        "anthropic/claude-sonnet-4-6": _claude(3.00, 0.30, 15.00),
        "anthropic/claude-sonnet-5": _claude(2.00, 0.20, 10.00),
        "anthropic/claude-sonnet-5-5": _claude(2.00, 0.10, 10.00),
        "anthropic/claude-opus-4-5": _claude(5.00, 0.50, 25.00),
        "anthropic/claude-opus-4-6": _claude(5.00, 0.50, 25.00),
        "anthropic/claude-opus-4-7": _claude(5.00, 0.50, 25.00),
        "anthropic/claude-opus-4-8": _claude(5.00, 0.50, 25.00),
        "anthropic/claude-opus-5": _claude(5.00, 0.50, 25.00),
        "anthropic/claude-opus-5-5": _claude(4.00, 0.20, 20.00),
        "anthropic/claude-fable-5": _claude(10.00, 1.00, 50.00),
        "anthropic/claude-fable-5-1": _claude(10.00, 0.25, 50.00),
        # Until the end of 2026; twice that from then on.
        "google/gemini-3.6-flash": _text(0.75, 0.075, 3.75),
        "google/gemini-3.8-flash": _text(0.75, 0.075, 3.75),
        "google/gemini-3.1-flash-lite": _text(0.25, 0.025, 1.50),
        "deepgram/flux-general-en": Price(minute=0.0065),
        "deepgram/flux-general-multi": Price(minute=0.0078),
        "deepgram/nova-3": Price(minute=0.0048),
    },
)

_in_use: list[Prices] = []


def prices() -> Prices:
    """The prices that hold: those that the program has given, or the list prices with those of the file over them."""
    if not _in_use:
        path = PriceSettings.load().file
        _in_use.append(Prices.read(path).over(LIST_PRICES) if path else LIST_PRICES)
    return _in_use[0]


def use_prices(table: Prices | None) -> None:
    """Let these prices hold for the process, in place of the list and the file; None: as before."""
    _in_use[:] = [] if table is None else [table]


def cost(vendor: str, model: str, usage: object, *, table: Prices | None = None) -> float | None:
    """What this has cost in US dollars; None if the price of any part of it is not known.

    usage: `Amounts`, the `Usage` of a language model, or anything that has some of the same fields. An event that says
        `audio_tokens` alone cannot be priced: whether they were heard or spoken makes a difference.
    """
    price = (table or prices()).find(vendor, model)
    if price is None:
        return None
    used = {f.name: int(getattr(usage, f.name, 0) or 0) for f in dataclasses.fields(Amounts)}
    split = used["audio_input_tokens"] or used["audio_output_tokens"]
    if getattr(usage, "audio_tokens", 0) and not split:
        return None
    if price.long is not None and price.long_tokens is not None and used["input_tokens"] > price.long_tokens:
        price = price.long
    text_cached = used["cached_tokens"] - used["audio_cached_tokens"]
    plain = used["input_tokens"] - used["audio_input_tokens"] - text_cached - used["cache_write_tokens"]
    parts = (
        (plain, price.input, 1e6),
        (text_cached, price.cached if price.cached is not None else price.input, 1e6),
        (used["cache_write_tokens"], price.cache_write if price.cache_write is not None else price.input, 1e6),
        (used["output_tokens"] - used["audio_output_tokens"], price.output, 1e6),
        (used["audio_input_tokens"] - used["audio_cached_tokens"], price.audio_input, 1e6),
        (
            used["audio_cached_tokens"],
            price.audio_cached if price.audio_cached is not None else price.audio_input,
            1e6,
        ),
        (used["audio_output_tokens"], price.audio_output, 1e6),
        (used["audio_ms"], price.minute, 60_000.0),
        (used["characters"], price.characters, 1e6),
    )
    total = 0.0
    for amount, per, unit in parts:
        if amount > 0:
            if per is None:
                return None
            total += amount * per / unit
    return total
