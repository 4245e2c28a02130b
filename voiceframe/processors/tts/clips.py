"""Clips: audio files, read piece by piece and brought into the format of the line."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from ...audio import AudioFormat
from ...errors import SpeechError
from ...frames import Word
from ...words import spans

if TYPE_CHECKING:
    from ...resample import Resampler

__all__ = ["Clip", "NotPlayable", "Source", "encode", "spread"]

#: How much of a file is read at a time.
_READ_MS: Final = 500


class NotPlayable(Exception):
    """Why a file cannot be played, in words."""


class Source(Protocol):
    """A file that is being read: mono s16le at `rate` Hz."""

    rate: int
    #: In samples, as the file itself says.
    length: int

    def read(self, samples: int) -> bytes:
        """The next samples, or fewer at the end, where there are none."""

    def close(self) -> None:
        """Close the file."""


class Clip:
    """A file on its way to the line, in `format`, which has one channel. In constant memory.

    `open()` and `read()` block. `close()` does not, and may come while one of them runs in another thread.
    """

    def __init__(self, path: str, format: AudioFormat) -> None:
        self._path = path
        self._format = format
        self._source: Source | None = None
        self._resampler: Resampler | None = None
        self._before = b""
        self._position = 0
        self._over = False
        self._closed = False
        self._lock = threading.Lock()

    @property
    def duration_ms(self) -> float:
        """How long it is, as the file itself says."""
        return self._source.length * 1000 / self._source.rate if self._source is not None else 0.0

    def open(self) -> None:
        """Open the file.

        Raises `SpeechError` (`tts.clip`) when there is nothing to play in it, and `MissingExtra` for a file that is no
        WAV where `av` is not installed.
        """
        with self._lock, self._failures():
            source = self._source = _open(self._path)
            if source.rate != self._format.rate:
                from ...resample import Resampler

                self._resampler = Resampler(source.rate, self._format.rate)
        if self._closed:
            self.close()

    def read(self) -> bytes:
        """The next half of a second in the format of the line; nothing at the end.

        Raises `SpeechError` (`tts.clip`) when the file cannot be read any further.
        """
        with self._lock, self._failures():
            data = b"" if self._closed or self._source is None else self._next(self._source)
        if self._closed:
            self.close()
        return data

    def _next(self, source: Source) -> bytes:
        while not self._over:
            pcm = source.read(source.rate * _READ_MS // 1000)
            self._over = not pcm
            resampler = self._resampler
            if resampler is None:
                made = pcm
            elif pcm:
                made = resampler.piece(self._before, pcm, self._position)
                self._position += len(pcm) // 2
                self._before = (self._before + pcm)[-2 * resampler.history :]
            else:
                made = resampler.rest(self._before, self._position)
            if made:
                return encode(made, self._format)
        return b""

    def close(self) -> None:
        """Close the file; whoever reads it just now closes it then."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                source, self._source = self._source, None
                if source is not None:
                    source.close()
            finally:
                self._lock.release()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except NotPlayable as error:
            raise SpeechError.of("tts.clip", path=self._path, reason=error) from None
        except OSError as error:
            raise SpeechError.of("tts.clip", path=self._path, reason=error.strerror or error) from error
        except ValueError as error:  # no path at all: it has a zero in it
            raise SpeechError.of("tts.clip", path=repr(self._path), reason=error) from error


def _open(path: str) -> Source:
    with Path(path).open("rb") as file:
        head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        from .wav import WavFile

        return WavFile(path)
    from .coded import CodedFile

    return CodedFile(path)


def encode(pcm: bytes, format: AudioFormat) -> bytes:
    """Mono s16le at the rate of `format`, as that."""
    if format.encoding == "pcm_s16le":
        return pcm
    from ...g711 import ENCODERS

    return ENCODERS[format.encoding](pcm)


def spread(text: str, duration_ms: float) -> list[Word]:
    """The words of `text`, spread evenly by letters over what lasts `duration_ms`."""
    if not text:
        return []
    scale = duration_ms / len(text)
    return [Word(text[start:end], round(start * scale), round(end * scale)) for start, end in spans(text)]
