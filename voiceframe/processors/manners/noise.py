"""A noisy line: the caller's noise comes close to their speech, and keys are offered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from ...settings import Settings, setting
from ..vad.noise import NoiseFloor
from .sound import SLICE_MS, Slice

__all__ = ["NoiseSettings", "NoiseWatch", "Noisy"]

#: The quietest slice of three seconds of a steady noise is so far below its mean (measured: 1.6 to 2.6 dB for white
#: noise and for that of a room).
_BIAS_DB: Final = 2.0
#: The noise that is known is that of the last three seconds: when it rises above a bound it has been there for as long.
_KNOWN_MS: Final = 3_000
_EVERY: Final = 5


class NoiseSettings(Settings, prefix="NOISE"):
    """When a line is noisy, and what is offered then."""

    snr_db: float = setting(default=10.0, doc="distance of speech from noise below which a line is noisy", ge=0, le=60)
    for_ms: int = setting(default=5_000, doc="how long it must be so; less than 3 s is 3 s", ge=0)
    every_ms: int = setting(default=300_000, doc="keys are offered once in this time", ge=1_000)
    speech_dbfs: float = setting(
        default=-26.0, doc="level (RMS) of speech that is assumed before the caller has spoken", ge=-60, le=0
    )
    offer: str = setting(
        default="There is a lot of noise on the line. You can also use the keys of your telephone.",
        doc="what is said then; empty to say nothing",
    )
    digits: int = setting(
        default=0, doc="how many keys make an answer from then on; 0 as the dialog says, else any number", ge=0, le=20
    )


@dataclass(frozen=True, slots=True)
class Noisy:
    """Levels in dBFS; `speech_dbfs` is None while it is assumed."""

    snr_db: float
    noise_dbfs: float
    speech_dbfs: float | None


class NoiseWatch:
    """Compares the noise with the speech. It knows no clock but the slices."""

    def __init__(self, settings: NoiseSettings) -> None:
        self._settings = settings
        self._floor = NoiseFloor(SLICE_MS)
        self._speech: float | None = None  # power
        self._slices = 0
        self._low_ms = 0
        self._quiet_ms = 0  # until it may be told again

    def spoke(self, level_dbfs: float) -> None:
        """The caller has spoken, with this mean level: noise and all."""
        power = 10 ** (level_dbfs / 10)
        noise = 10 ** (self.noise_dbfs / 10)
        if power < 2 * noise:
            return  # noise, which a simple VAD takes for speech at the beginning of a call
        clean = power - noise
        self._speech = clean if self._speech is None else 0.6 * self._speech + 0.4 * clean

    @property
    def noise_dbfs(self) -> float:
        floor = self._floor
        return 20 * math.log10(floor.rms / 32768) + _BIAS_DB if floor.blocks else -96.0

    @property
    def speech_dbfs(self) -> float | None:
        return None if self._speech is None else 10 * math.log10(self._speech)

    @property
    def snr_db(self) -> float:
        known = self.speech_dbfs
        return (self._settings.speech_dbfs if known is None else known) - self.noise_dbfs

    def reset(self) -> None:
        """What sounds is no noise: music, a machine."""
        self._low_ms = 0

    def hear(self, slice: Slice) -> Noisy | None:
        """The next slice. Told once when the line has been noisy for so long, and again after `every_ms`."""
        self._floor.add(slice.rms)
        self._quiet_ms = max(0, self._quiet_ms - SLICE_MS)
        self._slices += 1
        if self._slices % _EVERY:
            return None
        settings = self._settings
        if not self._floor.full or self.snr_db >= settings.snr_db:
            self._low_ms = 0
            return None
        known_ms = self._low_ms + _KNOWN_MS
        self._low_ms += _EVERY * SLICE_MS
        if known_ms < settings.for_ms or self._quiet_ms:
            return None
        self._quiet_ms = settings.every_ms
        speech = self.speech_dbfs
        return Noisy(round(self.snr_db, 1), round(self.noise_dbfs, 1), None if speech is None else round(speech, 1))
