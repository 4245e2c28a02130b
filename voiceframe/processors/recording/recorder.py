"""The recorder: both sides of a call in one stereo file, the caller on the left, the bot on the right.

idle ──start──▶ recording ◀──pause, resume, call.private()──▶ silent
  ▲                 │ stop, the end of the call                  │
  └─────────────────┴──the disk fails: the call goes on──────────┘
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final, Literal, TypeAlias

from ...errors import RecordingError
from ...events import RecordingPaused, RecordingResumed, RecordingStarted, RecordingStopped
from ...frames import InputAudioFrame, PlayedAudioFrame, RecordingFrame, StartFrame
from ...processor import Observer, observes
from .coded import CodedFile, load_av
from .legs import Block
from .place import check_template, create, fill
from .take import Take
from .wav import WavFile
from .writer import File, Writer

__all__ = ["Recorder"]

Format: TypeAlias = Literal["wav", "flac", "opus"]
_SUFFIXES: Final[dict[str, Format]] = {".wav": "wav", ".flac": "flac", ".opus": "opus", ".ogg": "opus"}


class Recorder(Observer):
    """Records a call; in `observers=[Recorder("recordings/{call}.wav")]`.

    path: `{call}` in it is the id of the call. A file is made with mode 600 and never written over: if the name is
    taken it gets a number. Directories are made.
    format: `"wav"` (16 bit), `"flac"`, `"opus"`; by default what the path ends in. The rate is the line's.
    start: whether to begin with the call; otherwise a `RecordingFrame("start")` does.

    The time of the file is the time of the call, from the start of the recording on. While it is paused by a
    `RecordingFrame`, or the call is `call.private()`, silence of equal length is recorded. When the disk fails, the
    recording stops with a `recording.stopped` that says why, and the call goes on. Blocks of one second are written
    off the event loop; a process that is killed loses the last two or three seconds.

    Raises `RecordingError` for a path that cannot work and `MissingExtra` for a format that needs an extra.
    """

    def __init__(self, path: str | os.PathLike[str], format: Format | None = None, *, start: bool = True) -> None:
        self._template = os.fspath(path)
        check_template(self._template)
        if format is None:
            format = _SUFFIXES.get(Path(self._template).suffix.lower())
            if format is None:
                raise RecordingError.of("recording.format", path=self._template)
        if format != "wav":
            load_av()
        self._format: Format = format
        self._start = start
        self._take: Take | None = None
        self._writer: Writer | None = None
        self._closing: list[Writer] = []
        self._paused = False
        #: The file that is being recorded, or was last; None before there is one.
        self.path: Path | None = None

    # -- what is recorded

    @observes(InputAudioFrame)
    def on_caller(self, frame: InputAudioFrame) -> None:
        take = self._take
        if take is not None:
            if take.silent != (self._paused or self.call.log.private > 0):
                self._hush(self.call.clock.at_ms(), "private")
            self._write(take.caller(frame.at_ms, frame.audio))

    @observes(PlayedAudioFrame, upstream=True)
    def on_bot(self, frame: PlayedAudioFrame) -> None:
        take = self._take
        if take is not None:
            if take.silent != (self._paused or self.call.log.private > 0):
                self._hush(self.call.clock.at_ms(), "private")
            self._write(take.bot(frame.at_ms, frame.position, frame.audio))

    def _write(self, blocks: list[Block]) -> None:
        writer = self._writer
        if writer is not None:
            if writer.path is None:
                writer.wake()
            for block in blocks:
                writer.put(block)

    def _hush(self, at_ms: int, reason: str) -> None:
        """Record silence, or no longer, as is asked for now."""
        take = self._take
        silent = self._paused or self.call.log.private > 0
        if take is None or take.silent == silent:
            return
        if silent:
            take.hush(at_ms)
            self.emit(RecordingPaused(reason=reason))
        else:
            take.unhush(at_ms)
            self.emit(RecordingResumed(reason=reason))

    # -- start, pause, resume, stop

    @observes(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        if self._start:
            self._begin(0)

    @observes(RecordingFrame)
    def on_recording(self, frame: RecordingFrame) -> None:
        if frame.action == "start":
            if self._take is None:
                self._begin(frame.at_ms)
        elif frame.action == "stop":
            self._stop(frame.at_ms, frame.reason)
        else:
            self._paused = frame.action == "pause"
            self._hush(frame.at_ms, frame.reason)

    def _begin(self, at_ms: int) -> None:
        take = self._take = Take(at_ms)
        self._paused = False

        def open() -> tuple[File, Path]:
            return self._open(take.rate)

        def opened(path: Path) -> None:
            self.path = path
            self.emit(RecordingStarted(path=str(path), rate=take.rate))

        def closed(error: Exception | None) -> None:
            self._closed(take, writer, error)

        writer = self._writer = Writer(self, open, opened, closed)

    def _open(self, rate: int) -> tuple[File, Path]:
        """Off the loop."""
        fd, path = create(fill(self._template, self.call.id))
        try:
            return WavFile(fd, rate) if self._format == "wav" else CodedFile(fd, rate, self._format), path
        except BaseException:
            os.close(fd)
            raise

    def _stop(self, at_ms: int, reason: str) -> None:
        take, writer = self._take, self._writer
        if take is None or writer is None:
            return
        left = take.stop(at_ms)
        if take.rate:  # else there was no sound: a call of text has no file
            self._write(left)
        self._take = self._writer = None
        take.reason = reason
        if take.rate:
            self._closing.append(writer)
            writer.close()

    def _closed(self, take: Take, writer: Writer, error: Exception | None) -> None:
        if writer in self._closing:
            self._closing.remove(writer)
        path = writer.path or fill(self._template, self.call.id)
        duration_ms = writer.samples * 1000 // take.rate
        reason = take.reason
        if error is not None:
            if self._take is take:
                self._take = self._writer = None
            if isinstance(error, OSError):
                reason = errno.errorcode.get(error.errno or 0, "OSError")
            else:
                reason = error.code if isinstance(error, RecordingError) else type(error).__name__
            if not isinstance(error, RecordingError):
                error = RecordingError.of("recording.failed", path=path, duration_ms=duration_ms, error=error)
            # Reported, but no `ErrorFrame`: the call has not failed, and nobody in it has to apologize.
            node = self._linked("fail")
            node.engine.report_failure(node, "write", error)
        self.emit(RecordingStopped(path=str(path), duration_ms=duration_ms, paused_ms=take.silent_ms, reason=reason))

    async def cleanup(self) -> None:
        self._stop(self.call.clock.at_ms(), "ended")
        for writer in list(self._closing):
            await writer.run()
