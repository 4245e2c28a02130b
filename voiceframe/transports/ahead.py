"""What has been sent ahead of the clock and has not sounded yet: word of it is held back until it has.

A carrier plays what it was sent, in order, at the pace of the clock, and forgets all of it when it is told to clear. So
between the playout, which counts what was sent, and whoever is told what was heard, stands this ledger. It lets go of
an entry when the sample to which it belongs has sounded; words only when the carrier has said so, if it does: it sends
marks back when the sound before them was played.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .playout import Playout, PlayoutListener

__all__ = ["Ahead"]


@dataclass(slots=True)
class _Started:
    position: int
    reply: int


@dataclass(slots=True)
class _Played:
    position: int
    reply: int
    data: bytes
    samples: int


@dataclass(slots=True)
class _Word:
    position: int
    reply: int
    text: str
    mark: int


@dataclass(slots=True)
class _Heard:
    position: int
    reply: int


@dataclass(slots=True)
class _Over:
    position: int
    reply: int
    text: str
    mark: int


_Entry: TypeAlias = _Started | _Played | _Word | _Heard | _Over


class Ahead:
    """The ledger of one line. It listens to a `Playout` and tells `listener` the same, later.

    at: the position of the line that follows what is being sent. patience: samples for which a mark is waited for
    beyond the time at which it should have come; then the clock is believed.
    """

    def __init__(self, listener: PlayoutListener, width: int, patience: int) -> None:
        self._listener = listener
        self._width = width
        self._patience = patience
        self._entries: deque[_Entry] = deque()
        self._said: dict[int, str] = defaultdict(str)  # heard of a reply since the last `heard()`
        self._sounded: set[int] = set()
        self._torn: set[int] = set()  # replies of which something was lost with a connection
        #: The position behind the piece that is being sent.
        self.at = 0
        #: The mark that goes behind it if something is waiting for one; and the last that came back.
        self.mark = 1
        self.acknowledged = 0
        #: Whether something that was sent just now waits for that mark.
        self.wanted = False
        #: How many words and ends went without a mark.
        self.unmarked = 0

    @property
    def waiting(self) -> bool:
        """Whether anything was sent of which it is not known that it has sounded."""
        return bool(self._entries)

    # -- what the playout tells

    def started(self, reply: int) -> None:
        self._entries.append(_Started(self.at, reply))

    def played(self, data: bytes, reply: int, position: int) -> None:
        self._entries.append(_Played(position, reply, data, len(data) // self._width))

    def word(self, word: str, reply: int) -> None:
        self._entries.append(_Word(self.at, reply, word, self.mark))
        self.wanted = True

    def heard(self, text: str, reply: int) -> None:
        self._entries.append(_Heard(self.at, reply))

    def over(self, reply: int, text: str, complete: bool, sounded: bool) -> None:
        if not complete:  # cut: what has sounded of it was told before
            self._end(reply, complete=False)
            return
        self._entries.append(_Over(self.at, reply, text, self.mark))
        self.wanted = True

    # -- what the line knows

    def sounded(self, position: int) -> None:
        """Everything before this position of the line has sounded, by the clock."""
        entries, listener = self._entries, self._listener
        while entries:
            entry = entries[0]
            if entry.position > position:
                return
            if isinstance(entry, _Played):
                if entry.position + entry.samples > position:
                    return
                entries.popleft()
                listener.played(entry.data, entry.reply, entry.position)
            elif isinstance(entry, _Word | _Over):
                if entry.mark > self.acknowledged:
                    if entry.position + self._patience > position:
                        if not self._pass(position):
                            return
                        continue
                    self.unmarked += 1
                entries.popleft()
                if isinstance(entry, _Word):
                    self._said[entry.reply] += entry.text
                    listener.word(entry.text, entry.reply)
                else:
                    self._end(entry.reply, complete=True)
            elif isinstance(entry, _Heard):
                entries.popleft()
                listener.heard(self._said.pop(entry.reply, ""), entry.reply)
            else:
                entries.popleft()
                self._sounded.add(entry.reply)
                listener.started(entry.reply)

    def _pass(self, position: int) -> bool:
        """Sound need not wait for the mark of a word that stands before it: let it go first."""
        entries = self._entries
        for place, entry in enumerate(entries):
            if entry.position > position:
                return False
            if isinstance(entry, _Played):
                if entry.position + entry.samples > position:
                    return False
                del entries[place]
                self._listener.played(entry.data, entry.reply, entry.position)
                return True
        return False

    def _end(self, reply: int, *, complete: bool) -> None:
        sounded = reply in self._sounded
        complete = complete and reply not in self._torn
        self._sounded.discard(reply)
        self._torn.discard(reply)
        self._listener.over(reply, self._said.pop(reply, ""), complete, sounded)

    def split(self, position: int) -> None:
        """The line is about to be told to clear at this position, in the middle of a piece."""
        for place, entry in enumerate(self._entries):
            if isinstance(entry, _Played) and entry.position < position < entry.position + entry.samples:
                samples = position - entry.position
                head, rest = entry.data[: samples * self._width], entry.data[samples * self._width :]
                self._entries[place] = _Played(position, entry.reply, rest, entry.samples - samples)
                self._entries.insert(place, _Played(entry.position, entry.reply, head, samples))
                break
        self.sounded(position)

    def recall(self, playout: Playout) -> tuple[bytes, int] | None:
        """The line is told to clear, and what has not sounded is to be played again later: it goes back to the playout.

        Returns the sound that will be missing, and the position at which it would have begun; None if there is none.
        """
        entries = self._entries
        sound = [entry for entry in entries if isinstance(entry, _Played)]
        if not sound:
            return None
        first = sound[0].position
        replies = list(dict.fromkeys(entry.reply for entry in sound))
        self._entries = deque(entry for entry in entries if entry.reply not in replies)
        for reply in reversed(replies):
            own = [entry for entry in entries if entry.reply == reply]
            pieces = [entry for entry in own if isinstance(entry, _Played)]
            words = [
                (min(entry.position - pieces[0].position, sum(piece.samples for piece in pieces)), entry.text)
                for entry in own
                if isinstance(entry, _Word)
            ]
            playout.take_back(reply, [piece.data for piece in pieces], words, started=reply in self._sounded)
        return b"".join(entry.data for entry in sound), first

    def lose(self, position: int) -> None:
        """The connection is gone: what had not sounded by then never will, and its marks will not come."""
        self.sounded(position)
        for entry in self._entries:
            if isinstance(entry, _Word | _Played):
                self._torn.add(entry.reply)
        self._entries = deque(entry for entry in self._entries if not isinstance(entry, _Word | _Played))
        self.acknowledged = self.mark - 1

    def forget(self, dead: Callable[[int], bool]) -> tuple[bytes, int] | None:
        """The line is told to clear: what has not sounded of the replies that are `dead` never will.

        Returns the sound that will be missing, and the position at which it would have begun; None if nothing dead is
        waiting, or if something is behind it that must be heard, so that the line must not be cleared.
        """
        entries = self._entries
        sound = [entry for entry in entries if isinstance(entry, _Played)]
        doomed = [entry for entry in entries if dead(entry.reply)]
        clear = bool(doomed) and all(dead(entry.reply) for entry in sound)
        # Sound that is not cleared will be played, and belongs into the recording.
        self._entries = deque(
            entry for entry in entries if not dead(entry.reply) or (not clear and isinstance(entry, _Played))
        )
        for entry in doomed:
            if isinstance(entry, _Over):
                self._end(entry.reply, complete=False)
        if not clear:
            return None
        return b"".join(entry.data for entry in sound), sound[0].position if sound else self.at
