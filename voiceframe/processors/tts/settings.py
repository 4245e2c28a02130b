"""What holds for every voice."""

from __future__ import annotations

from ...settings import Settings, setting

__all__ = ["TTSSettings"]


class TTSSettings(Settings, prefix="TTS"):
    """What holds for every voice."""

    provider: str = setting(default="espeak", doc="the voice that `TTS.by_name()` makes when it is given no name")
    silence_ms: int = setting(
        default=5_000, doc="time without sound after which a reply that was to be spoken is given up", ge=100
    )
    stall_ms: int = setting(
        default=2_000, doc="time without sound that a provider owes after which its connection is made anew", ge=50
    )
    connect_ms: int = setting(default=4_000, doc="how long a connection to a provider may take", ge=50)
    piece_ms: int = setting(default=100, doc="length of the pieces in which sound is handed on", ge=20, le=1_000)
    clip_ms: int = setting(default=1_800_000, doc="how much of an audio file is played at most", ge=0)
    lexicon: tuple[str, ...] = setting(
        default=(), doc="how words are said: `Nguyen=win`, or in phonemes `dupilumab=/duːˈpɪljuːmæb/`"
    )
    usd_per_million_chars: float | None = setting(
        default=None, doc="what a million characters cost, in place of the prices that are known; for the events", ge=0
    )
