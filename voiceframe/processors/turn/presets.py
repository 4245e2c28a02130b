"""Turn settings by the names of situations: a turn profile, a quality profile, and a preset that combines them.

    settings = preset("pstn-fast").turn
    settings = preset("pstn-fast", silence_ms=650).turn

An explicit value beats the preset's own, which beats its quality profile, which beats its turn profile.
`settings.describe()` tells for each value where it came from.

The numbers are those that the field publishes for browser and telephone agents. `threshold` is the level of speech as
linear RMS (1 is full scale): what an `EnergyVAD` takes, since a neural VAD has no such thing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...errors import ConfigurationError
from .settings import TurnSettings

__all__ = ["PRESETS", "PROFILES", "QUALITIES", "Preset", "preset"]


@dataclass(frozen=True, slots=True)
class Profile:
    """Silence that ends a turn, time for which words must not have changed, and the level of speech (linear RMS)."""

    silence_ms: int
    stability_ms: int
    threshold: float


#: How patient the bot is.
PROFILES: Final[Mapping[str, Profile]] = {
    "fast": Profile(700, 450, 0.015),
    "balanced": Profile(1_400, 1_000, 0.012),
    "long-form": Profile(2_200, 1_500, 0.010),
}

#: Who speaks, and where. None overrides nothing.
QUALITIES: Final[Mapping[str, Profile | None]] = {
    "general": None,
    "accent-heavy": Profile(1_200, 1_200, 0.010),
    "noisy-room": Profile(2_000, 1_600, 0.020),
    "short-command": Profile(500, 420, 0.016),
}


@dataclass(frozen=True, slots=True)
class Preset:
    """A situation. `turn` is for `Turns`, `threshold` for `EnergyVAD`; the rest is for browser transports."""

    name: str
    profile: str
    quality: str
    turn: TurnSettings
    threshold: float
    reconnect_attempts: int
    ping_ms: int
    turn_scoped_stt: bool = False

    @property
    def threshold_dbfs(self) -> float:
        """`threshold` as a level: dB below full scale."""
        return 20 * math.log10(self.threshold)


@dataclass(frozen=True, slots=True)
class _Recipe:
    profile: str
    quality: str = "general"
    own: tuple[int, int] | None = None  # silence and stability
    reconnect_attempts: int = 10
    ping_ms: int = 30_000
    turn_scoped_stt: bool = False


_RECIPES: Final[Mapping[str, _Recipe]] = {
    "default": _Recipe("fast"),
    "chat": _Recipe("balanced", "short-command"),
    "guided-intake": _Recipe("long-form", "accent-heavy", reconnect_attempts=12, turn_scoped_stt=True),
    "dictation": _Recipe("long-form", "accent-heavy", reconnect_attempts=12),
    "noisy-room": _Recipe("long-form", "noisy-room", (2_100, 1_650), 14, 45_000),
    "reliability": _Recipe("long-form", "noisy-room", None, 14, 45_000),
    "pstn-balanced": _Recipe("fast", "general", (660, 300), 14),
    "pstn-fast": _Recipe("fast", "general", (620, 280), 14),
}

#: The names that `preset()` knows.
PRESETS: Final = tuple(_RECIPES)


def preset(name: str = "default", **explicit: Any) -> Preset:
    """The settings of a situation, with some values given explicitly (fields of `TurnSettings`, or `threshold`).

    Raises `ConfigurationError` for a name that is not in `PRESETS`, and for a value that does not fit.
    """
    recipe = _RECIPES.get(name)
    if recipe is None:
        raise ConfigurationError.of("turn.preset", name=name, known=", ".join(PRESETS))
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def take(profile: Profile, source: str) -> None:
        for key in ("silence_ms", "stability_ms", "threshold"):
            values[key], sources[key] = getattr(profile, key), source

    take(PROFILES[recipe.profile], f"turn profile {recipe.profile}")
    quality = QUALITIES[recipe.quality]
    if quality is not None:
        take(quality, f"quality profile {recipe.quality}")
    if recipe.own is not None:
        values["silence_ms"], values["stability_ms"] = recipe.own
        sources["silence_ms"] = sources["stability_ms"] = f"preset {name}"
    threshold = float(explicit.pop("threshold", values.pop("threshold")))
    if not 0 < threshold < 1:
        raise ConfigurationError.of(
            "settings.range", where=f"preset({name!r})", name="threshold", value=threshold, expected="from 0 to 1"
        )
    # The floor and the ceiling of adaptive endpointing stand on both sides of the silence, whatever that is.
    values.setdefault("min_silence_ms", min(TurnSettings().min_silence_ms, values["silence_ms"]))
    values["max_silence_ms"] = max(TurnSettings().max_silence_ms, values["silence_ms"])
    turn = TurnSettings(**(values | explicit))
    sources.pop("threshold")
    return Preset(
        name=name,
        profile=recipe.profile,
        quality=recipe.quality,
        turn=turn.sourced(sources | dict.fromkeys(explicit, "code")),
        threshold=threshold,
        reconnect_attempts=recipe.reconnect_attempts,
        ping_ms=recipe.ping_ms,
        turn_scoped_stt=recipe.turn_scoped_stt,
    )
