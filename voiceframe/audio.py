"""Audio as it travels: bytes, and the format in which they arrived.

Nothing is converted until somebody asks: `audio.pcm(16_000)`. So far there are no converters: a processor is given the
format that it accepts, or its pipeline is refused when it is linked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .errors import AudioError

__all__ = ["ENCODINGS", "PCMU_8K", "PCM_8K", "PCM_16K", "Audio", "AudioFormat", "convertible"]

#: Bytes per sample of every encoding. `pcm_s16le` is signed 16-bit little-endian (L16 on the wire is `pcm_s16be`),
#: `mulaw` and `alaw` are ITU-T G.711, which RFC 3551 calls PCMU and PCMA.
ENCODINGS: Final[dict[str, int]] = {"pcm_s16le": 2, "pcm_s16be": 2, "mulaw": 1, "alaw": 1}


@dataclass(slots=True, frozen=True)
class AudioFormat:
    """An encoding, a sampling rate in Hz and a number of interleaved channels."""

    encoding: str = "pcm_s16le"
    rate: int = 16_000
    channels: int = 1

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise AudioError.of("audio.encoding", encoding=repr(self.encoding), known=", ".join(ENCODINGS))
        if not (8_000 <= self.rate <= 48_000 and 1 <= self.channels <= 2):
            raise AudioError.of("audio.rate", rate=self.rate, channels=self.channels)

    @property
    def bytes_per_second(self) -> int:
        return ENCODINGS[self.encoding] * self.rate * self.channels

    def __str__(self) -> str:
        return f"{self.encoding} at {self.rate} Hz" + (", stereo" if self.channels == 2 else "")


PCM_8K: Final = AudioFormat("pcm_s16le", 8_000)
PCM_16K: Final = AudioFormat("pcm_s16le", 16_000)
PCMU_8K: Final = AudioFormat("mulaw", 8_000)


def convertible(source: AudioFormat, target: AudioFormat) -> bool:
    """Whether audio of `source` can be had as `target` in this process."""
    return source == target


@dataclass(slots=True)
class Audio:
    """Some audio: `data` holds whole samples of `format`. Treat both as immutable."""

    data: bytes
    format: AudioFormat

    @property
    def duration_ms(self) -> float:
        """Length in milliseconds."""
        return len(self.data) * 1000 / self.format.bytes_per_second

    def pcm(self, rate: int) -> bytes:
        """The audio as mono s16le at `rate` Hz.

        Raises `AudioError` (`audio.no-converter`) when nothing installed can make it.
        """
        if self.format.encoding == "pcm_s16le" and self.format.rate == rate and self.format.channels == 1:
            return self.data
        raise AudioError.of("audio.no-converter", source=self.format, target=AudioFormat("pcm_s16le", rate))
