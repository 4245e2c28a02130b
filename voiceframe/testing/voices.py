"""What simulated callers sound like: voices, coughs, breath, the noise around them, and the telephone in between.

    rng = random.Random(7)
    voice = pick(rng)
    pcm = speech("on Thursday please", voice)
    line = telephone(noisy(pcm, 20, rng))          # mu-law at 8 kHz, as a carrier sends it

All sounds are mono s16le at 8,000 or 16,000 Hz, and the same bytes for the same seed. Levels are dBFS (RMS).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from ..audio import PCMU_8K, Audio, AudioFormat
from ..espeak import synthesize
from ..tones import level_dbfs, mix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["CLEAR", "VOICES", "Voice", "breath", "cough", "noise", "noisy", "pick", "speech", "telephone"]

_FULL: Final = 32768.0

#: The voices of espeak-ng that callers are given: American and British, and variants of the throat that speaks.
VOICES: Final = (
    *("en-us", "en-us+m1", "en-us+m3", "en-us+m5", "en-us+m7", "en-us+john", "en-us+max", "en-us+Andy", "en-us+ed"),
    *("en-us+f1", "en-us+f2", "en-us+f3", "en-us+f5", "en-us+linda", "en", "en+m2"),
)
#: Those of them of which PocketSphinx understands the most, 75 % of sentences and more: `benchmarks/stt.py --voices`.
CLEAR: Final = (
    *("en-us", "en-us+m1", "en-us+m5", "en-us+m7", "en-us+john", "en-us+ed"),
    *("en-us+f2", "en-us+f5"),
)


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of espeak-ng with its habits. rate_wpm: words per minute. pitch: 0 to 100."""

    name: str = "en-us"
    rate_wpm: int = 160
    pitch: int = 50
    dbfs: float = -22.0


def pick(rng: random.Random, names: tuple[str, ...] = CLEAR) -> Voice:
    """Somebody: one of the voices at 130 to 185 words per minute and -26 to -18 dBFS."""
    return Voice(rng.choice(names), rng.randint(130, 185), rng.randint(35, 65), round(rng.uniform(-26, -18), 1))


@lru_cache(maxsize=512)
def speech(text: str, voice: Voice, rate: int = 8_000) -> bytes:
    """`text` as `voice` says it, without silence around it; what is loud in it has `voice.dbfs` in the mean.

    Raises `SpeechError` (`tts.voice`), and `MissingExtra` where espeak-ng is not installed.
    """
    said = synthesize(text, voice.name, voice.rate_wpm, voice.pitch)
    pcm = _trimmed(Audio(said.pcm, AudioFormat("pcm_s16le", said.rate)).pcm(rate), rate)
    return _at_level(_floats(pcm), voice.dbfs)


def cough(rng: random.Random, rate: int = 8_000, dbfs: float = -20.0) -> bytes:
    """A cough: one burst or two of 250 to 450 ms, an explosion of air and a breath that follows it."""
    import numpy as np

    parts: list[Floats] = []
    for burst in range(rng.choice((1, 1, 2))):
        if burst:
            parts.append(np.zeros(rate * rng.randint(60, 180) // 1000))
        seconds = np.arange(rate * rng.randint(250, 450) // 1000) / rate
        shape = np.minimum(1, seconds / 0.015) * (np.exp(-seconds / 0.06) + 0.3 * np.exp(-seconds / 0.2))
        parts.append(_coloured(len(seconds), rate, rng, _throat) * shape)
    return _at_level(np.concatenate(parts), dbfs)


def breath(rng: random.Random, rate: int = 8_000, dbfs: float = -45.0) -> bytes:
    """Somebody breathes into the telephone: 400 to 900 ms of air."""
    import numpy as np

    seconds = np.arange(rate * rng.randint(400, 900) // 1000) / rate
    shape = np.sin(np.pi * seconds / seconds[-1]) ** 2
    return _at_level(_coloured(len(seconds), rate, rng, _air) * shape, dbfs)


def noise(
    ms: int, rng: random.Random, rate: int = 8_000, dbfs: float = -42.0, kind: Literal["speech", "babble"] = "speech"
) -> bytes:
    """The noise of a room. `speech`: steady, with the spectrum of speech. `babble`: six people who talk."""
    import numpy as np

    count = rate * ms // 1000
    if kind == "speech":
        return _at_level(_coloured(count, rate, rng, _room), dbfs)
    total = np.zeros(count)
    for _ in range(6):
        talk = _floats(
            speech(rng.choice(_TALK), Voice(rng.choice(VOICES), rng.randint(140, 180), rng.randint(30, 70)), rate)
        )
        start = rng.randrange(len(talk))
        total += np.resize(np.roll(talk, -start), count)
    return _at_level(total, dbfs)


def noisy(
    pcm: bytes,
    snr_db: float,
    rng: random.Random,
    rate: int = 8_000,
    kind: Literal["speech", "babble"] = "speech",
    speech_dbfs: float | None = None,
) -> bytes:
    """The sound in the noise of a room, which is `snr_db` below what is loud in it, or below `speech_dbfs`."""
    level = _loudness(_floats(pcm)) if speech_dbfs is None else speech_dbfs
    return mix(pcm, noise(-(-len(pcm) * 500 // rate), rng, rate, level - snr_db, kind)[: len(pcm)])


def telephone(pcm: bytes, rate: int = 8_000) -> bytes:
    """The sound as it leaves a telephone line: 300 to 3,400 Hz, mu-law at 8 kHz."""
    import numpy as np

    if not pcm:
        return b""
    narrow = Audio(pcm, AudioFormat("pcm_s16le", rate)).pcm(8_000)
    spectrum = np.fft.rfft(_floats(narrow))
    hertz = np.maximum(np.fft.rfftfreq(len(narrow) // 2, 1 / 8_000), 1.0)
    # Slopes like those of a telephone (ITU-T P.48 has 300 Hz some 10 dB down): 24 dB an octave below, steep above.
    spectrum *= 1 / np.sqrt(1 + (230 / hertz) ** 8) / np.sqrt(1 + (hertz / 3_500) ** 40)
    return Audio(_pcm(np.fft.irfft(spectrum, len(narrow) // 2)), AudioFormat("pcm_s16le", 8_000)).to(PCMU_8K)


_TALK: Final = (
    "and then she said that the train would be late again so we went home",
    "could you bring some milk and two loaves of bread on the way",
    "I have never seen so many people in this place on a weekday",
    "the game was quite good but they lost it in the last few minutes",
)


def _throat(hertz: Floats) -> Any:
    import numpy as np

    return np.exp(-(((hertz - 900) / 700) ** 2)) + 0.5 * np.exp(-(((hertz - 2_200) / 900) ** 2))


def _air(hertz: Floats) -> Any:
    return hertz / (hertz + 800.0)


def _room(hertz: Floats) -> Any:
    import numpy as np

    return 1 / np.sqrt(1 + (hertz / 500) ** 2)


def _coloured(count: int, rate: int, rng: random.Random, colour: Any) -> Floats:
    """White noise with another spectrum."""
    import numpy as np

    if not count:
        return np.zeros(0)
    white = np.random.RandomState(rng.getrandbits(32)).standard_normal(count)
    return np.asarray(np.fft.irfft(np.fft.rfft(white) * colour(np.fft.rfftfreq(count, 1 / rate)), count))


def _trimmed(pcm: bytes, rate: int) -> bytes:
    """Without the silence before and after, but for 10 and 20 ms."""
    import numpy as np

    samples = np.abs(_floats(pcm))
    loud = np.flatnonzero(samples > 0.01 * samples.max(initial=0.0))
    if not len(loud):
        return b""
    return pcm[2 * max(0, int(loud[0]) - rate // 100) : 2 * (int(loud[-1]) + rate // 50)]


def _loudness(samples: Floats) -> float:
    """The level of what is not silence, in dBFS."""
    import numpy as np

    loud = samples[np.abs(samples) > 0.02 * np.abs(samples).max(initial=0.0)]
    return level_dbfs(_pcm(loud)) if len(loud) else -120.0


def _at_level(samples: Floats, dbfs: float) -> bytes:
    import numpy as np

    loud = samples[np.abs(samples) > 0.02 * np.abs(samples).max(initial=0.0)]
    if not len(loud):
        return _pcm(samples)
    return _pcm(samples * (_FULL * 10 ** (dbfs / 20) / math.sqrt(float(np.mean(loud * loud)))))


def _floats(pcm: bytes) -> Floats:
    import numpy as np

    return np.frombuffer(pcm, "<i2").astype(np.float64)


def _pcm(samples: Floats) -> bytes:
    import numpy as np

    return bytes(np.rint(samples).clip(-32768, 32767).astype("<i2").tobytes())
