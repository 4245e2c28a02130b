"""What the tests of manners listen to: music, speech and noise by telephone, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final

from voiceframe.audio import PCMU_8K, Audio
from voiceframe.testing.voices import VOICES, Voice, noise, noisy, pick, speech, telephone
from voiceframe.tones import mix, music, silence, tone

__all__ = ["MUSIC", "OTHER", "SENTENCES", "by_telephone", "sounds", "talk"]

SENTENCES: Final = (
    "Hello, this is Karen speaking, how can I help you today?",
    "You have reached the voicemail of John Smith. I cannot take your call right now. Please leave a message.",
    "I would like to book an appointment for next Thursday at ten, if that is possible.",
    "Your call is important to us. Please stay on the line, and we will be with you shortly.",
    "And then she said that the train would be late again, so we went home.",
    "Could you bring some milk and two loaves of bread on the way?",
    "I have never seen so many people in this place on a weekday.",
)


def by_telephone(pcm: bytes) -> bytes:
    """Mono s16le at 8 kHz as it comes out of a telephone line."""
    return Audio(telephone(pcm), PCMU_8K).pcm(8_000)


def talk(ms: int, seed: int, voice: Voice | None = None) -> bytes:
    """Somebody talks, with pauses from 80 to 500 ms between the sentences."""
    rng = random.Random(seed)
    voice = voice or pick(rng, VOICES)
    pcm = b""
    while len(pcm) < 16 * ms:
        pcm += speech(rng.choice(SENTENCES), voice) + silence(rng.randint(80, 500))
    return pcm[: 16 * ms]


_MS: Final = 9_000

MUSIC: Final[dict[str, Callable[[int], bytes]]] = {
    "chords": lambda seed: music(_MS, "chords", seed=seed),
    "pad": lambda seed: music(_MS, "pad", seed=seed),
    "melody": lambda seed: music(_MS, "melody", seed=seed),
    "piano": lambda seed: music(_MS, "piano", seed=seed),
    "band": lambda seed: music(_MS, "band", seed=seed),
    "band, soft": lambda seed: music(_MS, "band", -38.0, seed=seed),
    "band in noise, 15 dB": lambda seed: noisy(music(_MS, "band", seed=seed), 15, random.Random(seed)),
    "piano in noise, 15 dB": lambda seed: noisy(music(_MS, "piano", seed=seed), 15, random.Random(seed)),
    "an announcement over a band": lambda seed: mix(talk(_MS, seed), music(_MS, "band", -34.0, seed=seed)),
    "drums alone": lambda seed: music(_MS, "drums", seed=seed),
}

OTHER: Final[dict[str, Callable[[int], bytes]]] = {
    "speech": lambda seed: talk(_MS, seed),
    "speech in noise, 20 dB": lambda seed: noisy(talk(_MS, seed), 20, random.Random(seed)),
    "speech in noise, 10 dB": lambda seed: noisy(talk(_MS, seed), 10, random.Random(seed)),
    "speech in babble, 15 dB": lambda seed: noisy(talk(_MS, seed), 15, random.Random(seed), kind="babble"),
    "speech over a hum, 18 dB": lambda seed: mix(talk(_MS, seed), tone(250, _MS, -40), tone(350, _MS, -44)),
    "a hum": lambda seed: mix(tone(250 + seed, _MS, -36), tone(350 + seed, _MS, -40)),
    "noise": lambda seed: noise(_MS, random.Random(seed), dbfs=-35),
    "babble": lambda seed: noise(_MS, random.Random(seed), dbfs=-35, kind="babble"),
    "ringing": lambda seed: (mix(tone(440, 2_000, -20), tone(480, 2_000, -20)) + silence(4_000)) * 2,
    "silence": lambda seed: silence(_MS),
}


def sounds(kinds: dict[str, Callable[[int], bytes]], count: int, first: int = 0) -> Iterator[tuple[str, bytes]]:
    """So many sounds of each kind, by telephone."""
    for name, make in kinds.items():
        for seed in range(first, first + count):
            yield name, by_telephone(make(seed))
