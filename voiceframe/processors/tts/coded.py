"""Audio files that are no WAV (FLAC, Ogg, MP3 ...), decoded piece by piece by `av`, which the extra `codecs` brings."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from ...extras import optional
from .clips import NotPlayable

__all__ = ["CodedFile"]

#: The rate at which files of another one are taken: what speech lines need is in it.
_RATES: Final = frozenset({8_000, 16_000, 24_000, 32_000, 44_100, 48_000})


class CodedFile:
    """A file as mono s16le. Raises `NotPlayable` for what is none that it knows, and `MissingExtra`."""

    def __init__(self, path: str) -> None:
        av = optional("av", extra="codecs", what="Playing a file that is no WAV")
        self._errors: tuple[type[Exception], ...] = (av.error.FFmpegError, ValueError)
        try:
            self._container: Any = av.open(path)
        except self._errors as error:
            raise NotPlayable("it is no audio file") from error
        try:
            stream: Any = next(iter(self._container.streams.audio), None)
            if stream is None:
                raise NotPlayable("it has no sound in it")
            self.rate: int = stream.rate if stream.rate in _RATES else 48_000
            seconds = float(stream.duration * stream.time_base) if stream.duration else 0.0
            if not seconds and self._container.duration:
                seconds = self._container.duration / 1_000_000
            self.length = round(seconds * self.rate)
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=self.rate)
            self._pieces = self._decode(stream)
        except BaseException:
            self._container.close()
            raise
        self._waiting: deque[bytes] = deque()

    def read(self, samples: int) -> bytes:
        """The next samples as mono s16le; fewer at the end, where there are none."""
        wanted = samples * 2
        there = sum(map(len, self._waiting))
        while there < wanted and (piece := next(self._pieces, None)) is not None:
            self._waiting.append(piece)
            there += len(piece)
        data = b"".join(self._waiting)
        self._waiting.clear()
        if len(data) > wanted:
            self._waiting.append(data[wanted:])
        return data[:wanted]

    def _decode(self, stream: Any) -> Iterator[bytes]:
        try:
            for frame in self._container.decode(stream):
                yield from self._resampled(frame)
            yield from self._resampled(None)
        except self._errors as error:
            raise NotPlayable("it is damaged") from error

    def _resampled(self, frame: Any) -> Iterator[bytes]:
        for made in self._resampler.resample(frame):
            yield bytes(made.planes[0])[: made.samples * 2]

    def close(self) -> None:
        """Close the file."""
        self._container.close()
