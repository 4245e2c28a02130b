"""Audio as it travels: bytes, and the format in which they arrived.

Nothing is converted until somebody asks: `audio.pcm(16_000)`. What was asked for is kept with the piece, so that it is
made once however many ask. The pieces of a stream (`AudioStream`) carry the few milliseconds that came before them; a
conversion needs nothing else, so pieces may be converted in any order, by several at once, or not at all, and each has
the same bits every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from .errors import AudioError

if TYPE_CHECKING:
    from .resample import Resampler

__all__ = ["ENCODINGS", "PCMU_8K", "PCM_8K", "PCM_16K", "Audio", "AudioFormat", "AudioStream", "convertible"]

#: Bytes per sample of every encoding. `pcm_s16le` is signed 16-bit little-endian (L16 on the wire is `pcm_s16be`),
#: `mulaw` and `alaw` are ITU-T G.711, which RFC 3551 calls PCMU and PCMA.
ENCODINGS: Final[dict[str, int]] = {"pcm_s16le": 2, "pcm_s16be": 2, "mulaw": 1, "alaw": 1}

#: How much of the past a piece carries, in parts of a second: a filter looks back 3 ms (24 samples at 8 kHz).
_PAST: Final = 250  # 4 ms


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
    """Whether audio of `source` can be had as `target`: anything as mono, and stereo only unchanged."""
    return target.channels == 1 or source == target


@dataclass(slots=True)
class Audio:
    """Some audio: `data` holds whole samples of `format`. Treat both as immutable.

    Made by itself it stands alone: a file, a prompt. It is converted to another rate without lag and to the nearest
    whole number of samples, with silence before and after. A piece of something longer comes from `AudioStream.add()`.
    """

    data: bytes
    format: AudioFormat
    #: The end of what came before, in the same format; None: stands alone.
    _before: bytes | None = field(init=False, default=None, repr=False, compare=False)
    #: The number of the first sample in the stream.
    _position: int = field(init=False, default=0, repr=False, compare=False)
    _made: dict[int | AudioFormat, bytes] | None = field(init=False, default=None, repr=False, compare=False)

    @property
    def duration_ms(self) -> float:
        """Length in milliseconds."""
        return len(self.data) * 1000 / self.format.bytes_per_second

    def pcm(self, rate: int) -> bytes:
        """The audio as mono s16le at `rate` Hz; stereo becomes the mean of its channels.

        At another rate a piece of a stream comes late by the group delay of the filter: 1.5 ms when the lower rate is
        8 kHz, less above. `AudioStream.flush()` has what is missing at the end.

        Raises `AudioError` when the rate is none of speech (`audio.rate`) or when the data is no whole number of
        samples (`audio.length`).
        """
        format = self.format
        if format.rate == rate and format.encoding == "pcm_s16le" and format.channels == 1:
            return self.data
        made = self._made
        if made is None:
            made = self._made = {}
        pcm = made.get(rate)
        if pcm is None:
            pcm = made[rate] = self._convert(rate)
        return pcm

    def to(self, format: AudioFormat) -> bytes:
        """The audio in `format`, at another rate as from `pcm()`.

        Raises `AudioError` (`audio.no-converter`) for a stereo format that is not the audio's own, and otherwise as
        `pcm()` does.
        """
        if format == self.format:
            return self.data
        if format.channels != 1:
            raise AudioError.of("audio.no-converter", source=self.format, target=format)
        pcm = self.pcm(format.rate)
        if format.encoding == "pcm_s16le":
            return pcm
        made = self._made
        if made is None:
            made = self._made = {}
        data = made.get(format)
        if data is None:
            if len(pcm) % 2:
                raise _broken(pcm, self.format)
            data = made[format] = _codecs()[1][format.encoding](pcm)
        return data

    def _convert(self, rate: int) -> bytes:
        source = self.format
        if source.rate == rate:
            return _decoded(self.data, source)
        filter = _filter(source.rate, rate)
        pcm = _decoded(self.data, source) if source.encoding == "pcm_s16le" else self.pcm(source.rate)
        if self._before is None:
            return filter.whole(pcm)
        return filter.piece(_decoded(self._before, source), pcm, self._position)


class AudioStream:
    """Audio that comes in pieces, one after the other, in one format.

    A piece of another rate than its own is delayed by the filter, so that the end of what was said is still in it when
    the last piece has been converted: `flush()` has that. `reset()` begins anew, as for the next utterance.
    """

    __slots__ = ("_before", "_frame", "_keep", "_position", "format")

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self._frame = ENCODINGS[format.encoding] * format.channels
        self._keep = -(-format.rate // _PAST) * self._frame
        self._before = b""
        self._position = 0

    def add(self, data: bytes) -> Audio:
        """The next piece; `data` may be of any length, also empty.

        Raises `AudioError` (`audio.length`) when it is no whole number of samples.
        """
        size = len(data)
        count = size // self._frame
        if size != count * self._frame:
            raise _broken(data, self.format)
        audio = Audio(data, self.format)
        audio._before = before = self._before
        audio._position = self._position
        self._position += count
        keep = self._keep
        self._before = data[-keep:] if size >= keep else (before + data)[-keep:]
        return audio

    def flush(self, rate: int) -> bytes:
        """What the filter to `rate` Hz still holds, as mono s16le: at most 2 ms. It changes nothing; ask for any rate.

        The pieces at that rate and this, joined, are the whole of the stream, late by the delay of the filter.
        """
        if rate == self.format.rate:
            return b""
        return _filter(self.format.rate, rate).rest(_decoded(self._before, self.format), self._position)

    def reset(self) -> None:
        """Forget what came before: the next piece is the first of another stream."""
        self._before = b""
        self._position = 0

    @property
    def samples(self) -> int:
        """How many samples (of each channel) have come since the beginning or the last `reset()`."""
        return self._position


def _decoded(data: bytes, format: AudioFormat) -> bytes:
    """As mono s16le at the rate that it has."""
    encoding, channels = format.encoding, format.channels
    if len(data) % (ENCODINGS[encoding] * channels):
        raise _broken(data, format)
    if encoding != "pcm_s16le":
        data = _codecs()[0][encoding](data)
    return data if channels == 1 else _mono(data)


def _mono(pcm: bytes) -> bytes:
    import numpy as np

    mean = np.frombuffer(pcm, "<i2").reshape(-1, 2).mean(axis=1, dtype=np.float64)
    return bytes(np.rint(mean).astype("<i2"))


# What converts is loaded when the first piece asks for it: numpy takes longer to import than all of the core.


@cache
def _codecs() -> tuple[dict[str, Callable[[bytes], bytes]], dict[str, Callable[[bytes], bytes]]]:
    from .g711 import DECODERS, ENCODERS

    return DECODERS, ENCODERS


@lru_cache(maxsize=64)
def _filter(source: int, target: int) -> Resampler:
    if not 8_000 <= target <= 48_000:
        raise AudioError.of("audio.rate", rate=target, channels=1)
    from .resample import Resampler

    return Resampler(source, target)


def _broken(data: bytes, format: AudioFormat) -> AudioError:
    return AudioError.of(
        "audio.length", size=len(data), format=format, sample=ENCODINGS[format.encoding] * format.channels
    )
