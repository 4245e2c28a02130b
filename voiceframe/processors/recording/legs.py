"""The two sides of a call on one time line, of which only the last moments are in memory."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

__all__ = ["BOT", "CALLER", "Block", "Legs"]

CALLER: Final = 0
BOT: Final = 1


class Block(NamedTuple):
    """The same stretch of both sides, as s16le. `bare`: nobody has said anything, nor was it kept anywhere."""

    left: bytes
    right: bytes
    bare: bool = False


class Legs:
    """Sound by its place: what was put nowhere is silence. Positions are in samples of s16le from the beginning."""

    __slots__ = ("_bare", "_data", "begin", "end")

    def __init__(self) -> None:
        #: The first sample that was not taken, and the one behind the last that is known of.
        self.begin = 0
        self.end = 0
        self._data = (bytearray(), bytearray())
        self._bare = Block(b"", b"", True)  # the last one of these, which is shared

    def put(self, leg: Literal[0, 1], position: int, pcm: bytes) -> None:
        """Sound at `position`. What was taken already is not changed any more."""
        data = self._data[leg]
        start = 2 * (position - self.begin)
        if start < 0:
            pcm = pcm[-start:]
            start = 0
        missing = start - len(data)
        if missing > 0:
            data += bytes(missing)
        data[start : start + len(pcm)] = pcm
        self.reach(position + len(pcm) // 2 if start else self.begin + len(pcm) // 2)

    def reach(self, position: int) -> None:
        """The time line is at least this long."""
        if position > self.end:
            self.end = position

    def take(self, samples: int) -> Block:
        """The next samples of both."""
        size = 2 * samples
        self.begin += samples
        self.end = max(self.end, self.begin)
        left, right = self._data
        if not left and not right:
            if len(self._bare.left) != size:
                self._bare = Block(bytes(size), bytes(size), True)
            return self._bare
        block = Block(bytes(left[:size]).ljust(size, b"\0"), bytes(right[:size]).ljust(size, b"\0"))
        del left[:size], right[:size]
        return block
