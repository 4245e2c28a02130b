"""A WAV file of one voice, as it grows: it is whole after each block, so that whatever ends the process leaves it."""

from __future__ import annotations

import os
import struct
from typing import Final

__all__ = ["MonoWav"]

_HEADER: Final = 44


class MonoWav:
    """Writes mono s16le at `rate` Hz into the open file `fd`, which it owns. Its methods raise `OSError`."""

    def __init__(self, fd: int, rate: int) -> None:
        self.fd = fd
        self._rate = rate
        self._size = 0
        self._write(0, self._header())

    def _header(self) -> bytes:
        fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, self._rate, 2 * self._rate, 2, 16)
        riff = struct.pack("<4sI4s", b"RIFF", self._size + _HEADER - 8, b"WAVE")
        return riff + fmt + struct.pack("<4sI", b"data", self._size)

    def write(self, left: bytes, right: bytes) -> None:
        """Append `left`. If it raises the file is as it was."""
        end = _HEADER + self._size
        try:
            self._write(end, left)
            self._size += len(left)
            self._write(0, self._header())
        except OSError:
            self._size = end - _HEADER
            os.ftruncate(self.fd, end)
            raise

    def _write(self, position: int, data: bytes) -> None:
        os.lseek(self.fd, position, os.SEEK_SET)
        left = memoryview(data)
        while left:
            left = left[os.write(self.fd, left) :]

    def close(self) -> None:
        """The file has reached the disk then."""
        try:
            os.fsync(self.fd)
        finally:
            os.close(self.fd)
