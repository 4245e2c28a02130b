"""FLAC and Opus, by PyAV (FFmpeg). Both are streams: what was written plays, wherever the end is."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Final, Literal

from ...extras import optional
from .wav import interleaved

__all__ = ["CodedFile", "load_av"]

_CONTAINER: Final = {"flac": "flac", "opus": "ogg"}
_CODEC: Final = {"flac": "flac", "opus": "libopus"}
#: What Opus takes (RFC 6716, 2.1.3); anything else is brought to 48 kHz.
_OPUS_RATES: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
#: For both sides together. 24 kbit/s is wideband speech that is hardly to be told from the original.
_OPUS_BITS: Final = 48_000


def load_av() -> ModuleType:
    """PyAV. Raises `MissingExtra`."""
    return optional("av", extra="codecs", what="a recording in FLAC or Opus")


class CodedFile:
    """Writes two channels of s16le at `rate` Hz into the open file `fd`, which it owns. Its methods raise `OSError`."""

    def __init__(self, fd: int, rate: int, format: Literal["flac", "opus"]) -> None:
        av: Any = load_av()
        self._av = av
        self.fd = fd
        self._rate = rate
        self._written = 0
        coded_rate = rate if format == "flac" or rate in _OPUS_RATES else 48_000
        # Each packet goes to the file when it is made, and pages of Ogg are at most half a second long.
        options = {"flush_packets": "1"} | ({"page_duration": "500000"} if format == "opus" else {})
        self._raw = _Raw(fd)
        self._container = av.open(self._raw, "w", format=_CONTAINER[format], options=options)
        self._stream = self._container.add_stream(_CODEC[format], rate=coded_rate, layout="stereo")
        if format == "opus":
            self._stream.bit_rate = _OPUS_BITS
        self._resampler = None
        if coded_rate != rate:
            self._resampler = av.AudioResampler(format="s16", layout="stereo", rate=coded_rate)

    def write(self, left: bytes, right: bytes) -> None:
        """Append a block. The file has it but for what the codec holds back, which is less than a second. If it raises
        the file is as it was, and takes no more."""
        whole = os.fstat(self.fd).st_size
        frame = self._av.AudioFrame(format="s16", layout="stereo", samples=len(left) // 2)
        frame.planes[0].update(interleaved(left, right))
        frame.sample_rate = self._rate
        frame.pts = self._written
        self._written += len(left) // 2
        try:
            self._encode([frame] if self._resampler is None else self._resampler.resample(frame))
        except Exception:
            self._raw.broken = True
            os.ftruncate(self.fd, whole)
            raise

    def _encode(self, frames: list[Any]) -> None:
        for frame in frames:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)

    def close(self) -> None:
        """Write what the codec holds back. The file has reached the disk then."""
        try:
            if self._resampler is not None:
                self._encode(self._resampler.resample(None))
            self._encode([None])
            self._container.close()
            os.fsync(self.fd)
        finally:
            os.close(self.fd)


class _Raw:
    """A file for PyAV without a buffer of its own. Once it is `broken` it swallows what comes."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.broken = False

    def write(self, data: bytes) -> int:
        left = memoryview(b"" if self.broken else data)
        while left:
            left = left[os.write(self.fd, left) :]
        return len(data)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self.fd, position, whence)

    def tell(self) -> int:
        return os.lseek(self.fd, 0, os.SEEK_CUR)
