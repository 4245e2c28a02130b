"""WAV as it grows: a file that is whole after each block, so that whatever ends the process leaves one that plays.

Over 4 GiB the sizes of RIFF do not fit. Then the file becomes an RF64 (EBU Tech 3306), for which there is room from the
beginning: in place of the chunk `ds64` stands one that readers skip, `JUNK`.
"""

from __future__ import annotations

import array
import os
import struct
from typing import Final

__all__ = ["HEADER", "WavFile", "header", "interleaved"]

#: The length of the header in bytes.
HEADER: Final = 80
#: From this many bytes of sound on the file is an RF64.
RF64_FROM: Final = 0xFFFF_FFFF - HEADER
_FRAME: Final = 4  # bytes: two channels of 16 bits


def header(rate: int, size: int) -> bytes:
    """The header for `size` bytes of stereo s16le."""
    riff_size = size + HEADER - 8
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, rate, rate * _FRAME, _FRAME, 16)
    if size < RF64_FROM:
        return (
            struct.pack("<4sI4s4sI28x", b"RIFF", riff_size, b"WAVE", b"JUNK", 28)
            + fmt
            + struct.pack("<4sI", b"data", size)
        )
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, riff_size, size, size // _FRAME, 0)
    return struct.pack("<4sI4s", b"RF64", 0xFFFF_FFFF, b"WAVE") + ds64 + fmt + struct.pack("<4sI", b"data", 0xFFFF_FFFF)


def interleaved(left: bytes, right: bytes) -> bytes:
    """Two channels of 16 bits as one."""
    both = array.array("h", bytes(2 * len(left)))
    both[0::2] = array.array("h", left)
    both[1::2] = array.array("h", right)
    return both.tobytes()


class WavFile:
    """Writes stereo s16le at `rate` Hz into the open file `fd`, which it owns. Its methods raise `OSError`."""

    def __init__(self, fd: int, rate: int) -> None:
        self.fd = fd
        self._rate = rate
        self._size = 0
        self._write(0, header(rate, 0))

    def write(self, left: bytes, right: bytes) -> None:
        """Append a block; when it returns the file has it, and says so. If it raises the file is as it was."""
        data = interleaved(left, right)
        end = HEADER + self._size
        try:
            self._write(end, data)
            # Only now: a header that promises more than there is would make the file unreadable for some.
            self._write(0, header(self._rate, self._size + len(data)))
        except OSError:
            os.ftruncate(self.fd, end)
            raise
        self._size += len(data)

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
