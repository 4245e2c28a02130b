"""What a carrier does with what it was sent: plays it in order at the pace of the clock, and gives marks back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["Playback"]


class Playback:
    """The carrier's buffer of one stream; it holds any amount.

        add() ──▶ ▯▯▯ mark ▯▯ ──▶ next(), every 20 ms
        clear() empties it, and gives its marks back at once

    silence: one piece of it; `next()` gives as much. on_mark: told the name of each mark that comes back.

    A mark comes back when what was before it has been played to its end, which is at the tick that follows its last
    piece; at once if there is nothing before it.
    """

    def __init__(self, silence: bytes, on_mark: Callable[[str], None]) -> None:
        self._silence = silence
        self._on_mark = on_mark
        self._queue: deque[bytes | str] = deque()
        self._due: list[str] = []  # what is before them is in the piece that plays now
        self._sounding = False  # whether that piece has anything of the bot's
        #: How many bytes wait, and how many waited at most.
        self.waiting = 0
        self.most = 0

    def add(self, data: bytes) -> None:
        """Play this behind what was added before."""
        if data:
            self._queue.append(data)
            self.waiting += len(data)
            self.most = max(self.most, self.waiting)

    def mark(self, name: str) -> None:
        """Give this name back when all that was added before has played."""
        if self._queue:
            self._queue.append(name)
        elif self._sounding:
            self._due.append(name)
        else:
            self._on_mark(name)

    def clear(self) -> None:
        """Forget what has not begun to play. All marks come back."""
        names = [*self._due, *(name for name in self._queue if isinstance(name, str))]
        self._due.clear()
        self._queue.clear()
        self.waiting = 0
        for name in names:
            self._on_mark(name)

    def next(self) -> bytes:
        """What plays from now on for the length of a piece. The one before has played."""
        due, self._due = self._due, []
        for name in due:
            self._on_mark(name)
        queue, size = self._queue, len(self._silence)
        played = b""
        while queue:
            head = queue[0]
            if isinstance(head, str):
                self._due.append(head)
                queue.popleft()
                continue
            room = size - len(played)
            if not room:
                break
            played += head[:room]
            if len(head) > room:
                queue[0] = head[room:]
            else:
                queue.popleft()
        self.waiting -= len(played)
        self._sounding = bool(played)
        return played + self._silence[len(played) :]
