"""The writer of a recording: blocks go to the disk in order, off the event loop, and a failing disk stops only this."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from ...errors import CallEnded, RecordingError
from ...processor import Processor
from .legs import Block

__all__ = ["File", "Writer"]

#: How many blocks may wait for the disk.
MOST_BLOCKS: Final = 30


class File(Protocol):
    """A recording on the disk. All of it raises `OSError`."""

    fd: int

    def write(self, left: bytes, right: bytes) -> None: ...

    def close(self) -> None: ...


class Writer:
    """Writes one recording. Its methods run on the loop.

    open: makes the file, off the loop. opened, closed: told the path when there is a file, and once that it is closed,
    with the error if that is why.
    """

    def __init__(
        self,
        owner: Processor,
        open: Callable[[], tuple[File, Path]],
        opened: Callable[[Path], None],
        closed: Callable[[Exception | None], None],
    ) -> None:
        self._owner = owner
        self._open = open
        self._opened = opened
        self._closed = closed
        self._blocks: deque[Block] = deque()
        self._closing = False
        self._running = False
        self._announced = False
        self._error: Exception | None = None
        #: Whether nothing more will be written.
        self.done = False
        # Used off the loop, under the lock: a thread that was given up may still be at it.
        self._lock = threading.Lock()
        self._file: File | None = None
        self._path: Path | None = None
        self._samples = 0

    @property
    def path(self) -> Path | None:
        """The file; None before it is there."""
        return self._path

    @property
    def samples(self) -> int:
        """How many samples of each side are in the file."""
        return self._samples

    def put(self, block: Block) -> None:
        """Write this, behind what was put before. Returns at once."""
        if self.done or self._error is not None:
            return
        self._blocks.append(block)
        # A silence of minutes, over which nothing came, is there at once, and holds no memory.
        if len(self._blocks) > MOST_BLOCKS and sum(not waits.bare for waits in self._blocks) > MOST_BLOCKS:
            self._error = RecordingError.of("recording.slow", path=self._path, count=len(self._blocks))
            self._blocks.clear()
            self._closing = True
        self.wake()

    def close(self) -> None:
        """Write what was put, and close the file."""
        self._closing = True
        self.wake()

    def wake(self) -> None:
        """Let the file be made, and what waits be written."""
        if not self._running and not self.done:
            with contextlib.suppress(CallEnded):  # at the end of the call `run()` is awaited
                self._owner.spawn(self.run(), name="recording")
                self._running = True

    async def run(self) -> None:
        """Write what waits."""
        self._running = True
        try:
            while not self.done and (self._blocks or self._closing or self._path is None):
                await self._step()
        finally:
            self._running = False

    async def _step(self) -> None:
        block = self._blocks.popleft() if self._blocks else None
        last = block is None and self._closing
        try:
            await self._owner.offload(self._work, block, last)
        except Exception as error:  # of the disk or of a codec; whatever it is, the call goes on
            self._error = error
            self._blocks.clear()
            last = True
            with contextlib.suppress(Exception):
                await self._owner.offload(self._work, None, True)
        if self._path is not None and not self._announced:
            self._announced = True
            self._opened(self._path)
        if last:
            self.done = True
            self._closed(self._error)

    def _work(self, block: Block | None, last: bool) -> None:
        with self._lock:
            if self._file is None and not self.done and self._error is None:
                self._file, self._path = self._open()
            file = self._file
            if file is None:
                return
            if block is not None:
                file.write(block.left, block.right)
                self._samples += len(block.left) // 2
                if os.fstat(file.fd).st_nlink == 0:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._path))
            if last:
                self._file = None
                file.close()
