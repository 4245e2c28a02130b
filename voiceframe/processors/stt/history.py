"""What a network recognizer was told and has not answered for good, so that another connection can be told it again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Literal

from ...frames import ExpectFrame

__all__ = ["History", "Item"]


class Item:
    """What the recognizer is told: a segment begins or is over, or a piece of audio with its place in the session."""

    __slots__ = ("audio", "end_ms", "expect", "kind", "start_ms")

    def __init__(
        self,
        kind: Literal["begin", "audio", "finalize", "gone"],
        start_ms: float,
        end_ms: float,
        audio: bytes = b"",
        expect: ExpectFrame | None = None,
    ) -> None:
        self.kind = kind
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.audio = audio
        self.expect = expect


class History:
    """Items in order, each with a number that it keeps. Audio that is not wanted any more leaves them."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        #: The number of the first item that is there.
        self.first = 0
        #: How much audio is kept.
        self.kept_ms = 0.0
        self._oldest = 0  # the number of the oldest audio that is kept

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    @property
    def end(self) -> int:
        """The number that the next item will have."""
        return self.first + len(self._items)

    def __getitem__(self, number: int) -> Item:
        return self._items[number - self.first]

    def add(self, item: Item) -> None:
        self._items.append(item)
        if item.kind == "audio":
            self.kept_ms += item.end_ms - item.start_ms

    def audio(self) -> Item | None:
        """The first audio that is kept."""
        return next((item for item in self._items if item.kind == "audio"), None)

    def trim(self, most_ms: float) -> None:
        """Forget the oldest audio beyond the bound."""
        while self.kept_ms > most_ms and self._oldest < self.end:
            self._oldest = max(self._oldest, self.first)
            self._forget(self[self._oldest])
            self._oldest += 1
        self._shorten()

    def cover(self, until_ms: float, *, within: bool = True) -> None:
        """Audio up to here is covered by results; only what is `within` the first segment, or all of it."""
        for item in self._items:
            if (within and item.kind == "finalize") or item.end_ms > until_ms + 1:
                break
            self._forget(item)
        self._shorten()

    def drop_segment(self) -> None:
        """The first segment has its result, or shall have none."""
        if not any(item.kind == "finalize" for item in self._items):
            return
        while self._pop().kind != "finalize":
            pass

    def close_segment(self) -> None:
        """The same, but its audio is still wanted: the turn goes on."""
        for item in self._items:
            if item.kind in ("begin", "finalize"):
                over, item.kind = item.kind == "finalize", "gone"
                if over:
                    break
        self._shorten()

    def skip(self, from_ms: float | None) -> None:
        """Forget all before the segment that begins here; all there is for None."""
        while self._items:
            first = self._items[0]
            if from_ms is not None and first.kind == "begin" and first.start_ms >= from_ms:
                return
            self._pop()

    def begins(self) -> bool:
        """Whether a segment is under way or waits for its result."""
        return any(item.kind in ("begin", "finalize") for item in self._items)

    def _pop(self) -> Item:
        item = self._items.popleft()
        self.first += 1
        self._forget(item)
        return item

    def _forget(self, item: Item) -> None:
        if item.kind == "audio":
            self.kept_ms -= item.end_ms - item.start_ms
            item.kind, item.audio = "gone", b""

    def _shorten(self) -> None:
        while self._items and self._items[0].kind == "gone":
            self._items.popleft()
            self.first += 1
