"""Playout: what the bot says, as it waits to be played, and what of it was heard.

    add() ──▶ a queue for each reply ──take() each 20 ms──▶ the line
                 │ pause(): held at the sample      │ words that were sent whole were heard
                 └ cut(): gone, with what was heard └ the last sample has sounded: over

It knows no carrier and no clock: whoever owns it takes the sound in pieces of the length that the line wants, and is
told what comes of it. Sound that stops before its end (a pause, a cut, a gap because more of it is late) fades out in
3 ms, and fades in when it goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ..audio import AudioFormat
from ..frames import Word
from .fades import fader

__all__ = ["Playout", "PlayoutListener"]


class PlayoutListener(Protocol):
    """Who is told what becomes of the sound. Number 0 stands for sound of no reply (keys)."""

    def started(self, reply: int) -> None:
        """The first sample of the reply is in the piece that is being taken."""

    def played(self, data: bytes, reply: int, position: int) -> None:
        """These samples are in that piece, faded as they are sent; the first is number `position` of the line."""

    def word(self, word: str, reply: int) -> None:
        """The last sample of the word is in that piece, or before it."""

    def heard(self, text: str, reply: int) -> None:
        """A sentence was heard, and more of the reply follows."""

    def over(self, reply: int, text: str, complete: bool, sounded: bool) -> None:
        """Nothing more of the reply will be heard. `text` was heard since the last `heard()`."""


@dataclass(slots=True, eq=False)
class _Queue:
    """A reply on its way to the line."""

    number: int
    pieces: deque[bytes] = field(default_factory=deque)
    skip: int = 0  # bytes of the first piece that were played
    waiting: int = 0  # bytes that were not
    came: int = 0  # samples that have come
    played: int = 0  # samples that were played
    words: deque[tuple[int, str]] = field(default_factory=deque)  # each with the sample at which it is over
    unreported: str = ""
    started: bool = False
    ended: bool = False
    rise: int = -1  # samples of a fade-in that are done; -1: none is due
    gap_from: int = -1  # the position from which more of it was late

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, or as many as there are."""
        found: list[bytes] = []
        skip = self.skip
        for piece in self.pieces:
            found.append(piece[skip : skip + size])
            size -= len(found[-1])
            skip = 0
            if size <= 0:
                break
        return b"".join(found)

    def take(self, size: int) -> bytes:
        """The same, taken out."""
        pieces = self.pieces
        if pieces and len(pieces[0]) - self.skip > size:  # nearly always
            skip = self.skip
            data = pieces[0][skip : skip + size]
            self.skip = skip + size
            self.waiting -= size
            return data
        data = self.peek(size)
        left = len(data)
        self.waiting -= left
        while left and left >= len(pieces[0]) - self.skip:
            left -= len(pieces.popleft()) - self.skip
            self.skip = 0
        self.skip += left
        return data


class Playout:
    """The sound of one call's bot, in `format`, which has one channel."""

    def __init__(self, format: AudioFormat, listener: PlayoutListener) -> None:
        self.format = format
        #: How many samples the line has been given.
        self.position = 0
        #: How many times more of a reply came too late to go on without a gap, and for how many samples in sum.
        self.gaps = 0
        self.gap_samples = 0
        self.paused = False
        self._listener = listener
        self._fader = fader(format)
        self._width = self._fader.width
        self._replies: deque[_Queue] = deque()
        self._over: set[int] = set()
        self._waiting = 0  # bytes, of all replies
        # The reply whose sound was sent up to this moment: were it to stop here, there would be a step.
        self._sounding: _Queue | None = None
        self._last = b""  # its last sample
        self._tail = b""  # the rest of a fade-out
        self._tail_of = 0
        self._silence = b""  # of the length that was asked for last
        # Told when the state is settled: whoever is told may pause, cut and add.
        self._news: deque[Callable[[], None]] = deque()

    # -- what comes

    def begin(self, reply: int) -> None:
        """The reply takes its place behind those that have begun."""
        if reply not in self._over:
            self._find(reply)

    def add(self, reply: int, data: bytes, words: Iterable[Word] = ()) -> None:
        """More sound of a reply, in the format of the playout; the words are placed from the start of `data`."""
        if reply in self._over:
            return
        queue = self._find(reply)
        for word in words:
            ends = queue.came + word.end_ms * self.format.rate // 1000
            queue.words.append((max(ends, queue.words[-1][0]) if queue.words else ends, word.text))
        if data:
            queue.pieces.append(data)
            queue.waiting += len(data)
            queue.came += len(data) // self._width
            self._waiting += len(data)

    def end(self, reply: int) -> None:
        """Nothing will be added to the reply."""
        if reply not in self._over:
            self._find(reply).ended = True
            self._settle(whole=False)
            self._tell()

    def end_all(self) -> None:
        """Nothing will be added to any reply."""
        for queue in self._replies:
            queue.ended = True
        self._settle(whole=False)
        self._tell()

    def sound(self, data: bytes) -> None:
        """Sound of no reply, in its place behind what was added before. No interruption cuts it."""
        queue = _Queue(0, ended=True)
        queue.pieces.append(data)
        queue.waiting = len(data)
        self._waiting += len(data)
        self._replies.append(queue)

    def _find(self, number: int) -> _Queue:
        for queue in self._replies:
            if queue.number == number:
                return queue
        queue = _Queue(number)
        self._replies.append(queue)
        return queue

    # -- what is known

    @property
    def waiting_ms(self) -> int:
        """How much sound waits to be played."""
        return round(self._waiting * 1000 / self.format.bytes_per_second)

    @property
    def pieces(self) -> int:
        """In how many pieces it waits."""
        return sum(len(queue.pieces) for queue in self._replies)

    @property
    def idle(self) -> bool:
        """Whether every reply is over and nothing sounds."""
        return not self._replies and not self._tail

    @property
    def sounding(self) -> bool:
        """Whether a reply was being played up to this sample, so that more of it, or a fade, must follow."""
        return self._sounding is not None

    @property
    def fading(self) -> bool:
        """Whether the rest of a fade-out waits."""
        return bool(self._tail)

    @property
    def waiting(self) -> bool:
        """Whether sound waits to be played."""
        return self._waiting > 0

    @property
    def speaking(self) -> bool:
        """Whether something sounds, or waits to."""
        return bool(self._waiting or self._tail) or self._sounding is not None

    # -- playing

    def take(self, samples: int) -> bytes:
        """The next piece for the line: so many samples, with silence where there is nothing to say."""
        if self._replies:
            self._settle(whole=True)
        width = self._width
        size = samples * width
        tail = self._tail
        if not tail and not self._replies:  # nearly always while the caller speaks
            self.position += samples
            if self._news:
                self._tell()
            if len(self._silence) != size:
                self._silence = self._fader.silence * samples
            return self._silence
        data = b""
        if tail:
            data, self._tail = tail[:size], tail[size:]
            self._note_played(data, self._tail_of, 0)
        if self.paused:
            data += self._fall_silent(len(data), size, self._sounding)
        elif len(data) < size and self._replies:
            queue = self._current()
            if queue.waiting:
                data += self._play(queue, len(data), size)
            if len(data) < size and not queue.ended:
                data += self._fall_silent(len(data), size, self._sounding)
        if len(data) < size:
            data += self._fader.silence * (samples - len(data) // width)
        self.position += samples
        self._tell()
        return data

    def skip(self, samples: int) -> None:
        """Time passes in which the line can be given nothing: what was to be heard then is heard afterwards."""
        if self._sounding is not None:
            self._sounding.rise = 0
            self._sounding = None
        self._tail = b""
        self.position += samples

    def _play(self, queue: _Queue, done: int, size: int) -> bytes:
        """The sound of a reply in this piece, of which `done` bytes are there."""
        width = self._width
        data = queue.take(size - done)
        self._waiting -= len(data)
        number = queue.number
        if not queue.started:
            queue.started = True
            if number:
                self._news.append(lambda: self._listener.started(number))
        if queue.rise >= 0:
            if queue.gap_from >= 0:
                self.gaps += 1
                self.gap_samples += self.position + done // width - queue.gap_from
                queue.gap_from = -1
            rise = queue.rise
            data = self._fader.rise(data, rise)
            rise += len(data) // width
            queue.rise = rise if rise < self._fader.samples else -1
        queue.played += len(data) // width
        self._sounding = queue
        self._last = data[-width:]
        self._note_played(data, number, done)
        words = queue.words
        while words and words[0][0] <= queue.played:
            self._word(queue, words.popleft()[1])
        return data

    def _fall_silent(self, done: int, size: int, queue: _Queue | None) -> bytes:
        """What has sounded goes on later: it fades out, and will fade in from the very same sample."""
        if queue is None or done >= size:
            return b""
        if not self.paused:
            queue.gap_from = self.position + done // self._width
        tail = self._fade_out(queue)
        queue.rise = 0
        data, self._tail = tail[: size - done], tail[size - done :]
        if data:
            self._note_played(data, queue.number, done)
        return data

    def _fade_out(self, queue: _Queue) -> bytes:
        """The reply sounds no more: what is to follow its last sample."""
        self._sounding = None
        self._tail_of = queue.number
        fader = self._fader
        data = queue.peek(fader.samples * self._width)
        if queue.rise >= 0 and data:
            data = fader.rise(data, queue.rise)
        elif not data and self._last == fader.silence:
            return b""
        return fader.fall(data, self._last)

    def _current(self) -> _Queue:
        """The reply whose turn it is: the one that has begun to sound; else the first that has something to say.

        So one for which no sound ever comes does not hold up the others.
        """
        replies = self._replies
        first = replies[0]
        if first.started:
            return first
        return next(
            (queue for queue in replies if queue.started),
            next((queue for queue in replies if queue.waiting or queue.ended), first),
        )

    def _word(self, queue: _Queue, word: str) -> None:
        number = queue.number
        queue.unreported += word
        self._news.append(lambda: self._listener.word(word, number))
        if queue.words and word.endswith((".", "!", "?")):
            text, queue.unreported = queue.unreported, ""
            self._news.append(lambda: self._listener.heard(text, number))

    def _note_played(self, data: bytes, reply: int, offset: int) -> None:
        position = self.position + offset // self._width
        self._news.append(lambda: self._listener.played(data, reply, position))

    # -- the end of a reply

    def _settle(self, *, whole: bool) -> None:
        """Close the replies that are over. `whole`: also the one whose last samples were sent just now."""
        while self._replies:
            queue = self._current()
            if queue.waiting or not queue.ended or (queue is self._sounding and not whole):
                return
            self._replies.remove(queue)
            if queue is self._sounding:
                self._sounding = None
            self._close(queue, complete=True)

    def _close(self, queue: _Queue, *, complete: bool) -> None:
        self._waiting -= queue.waiting
        number, sounded = queue.number, queue.started
        if not number:
            return
        self._over.add(number)
        if complete:
            while queue.words:  # said to end a hair behind the last sample
                self._word(queue, queue.words.popleft()[1])
        text = queue.unreported
        self._news.append(lambda: self._listener.over(number, text, complete, sounded))

    def take_back(self, reply: int, pieces: list[bytes], words: list[tuple[int, str]], *, started: bool) -> None:
        """Sound of a reply that was taken and not played waits again, before all that waits.

        words: each with the sample of this sound at which it is over. started: whether any of the reply was played.
        Call it for the last reply first.
        """
        samples = sum(map(len, pieces)) // self._width
        queue = next((queue for queue in self._replies if queue.number == reply), None)
        if queue is None:
            queue = _Queue(reply, ended=True, came=samples, played=samples)
            self._over.discard(reply)
        else:
            self._replies.remove(queue)
        self._replies.appendleft(queue)
        if queue.skip and queue.pieces:
            queue.pieces[0] = queue.pieces[0][queue.skip :]
            queue.skip = 0
        queue.pieces.extendleft(reversed(pieces))
        queue.waiting += samples * self._width
        self._waiting += samples * self._width
        queue.played -= samples
        queue.words.extendleft((queue.played + end, word) for end, word in reversed(words))
        queue.started = started
        queue.rise = 0 if started else -1
        queue.gap_from = -1

    def back(self, position: int, sound: bytes) -> None:
        """The line has gone back to this position: `sound`, which was taken there, was not played and never will be.

        Its beginning is played again, as a fade-out.
        """
        self._tail = self._fader.fall(sound[: self._fader.samples * self._width], b"")
        self._tail_of = 0
        self._sounding = None
        self.position = position

    def cut(self, dead: Callable[[int], bool], *, keys: bool = False) -> None:
        """An interruption: the replies whose numbers are `dead` stop, and with `keys` the sound of none. It also ends a
        pause."""
        self._settle(whole=True)
        kept: deque[_Queue] = deque()
        for queue in self._replies:
            if not (dead(queue.number) if queue.number else keys):
                kept.append(queue)
                continue
            if queue is self._sounding:
                self._tail = self._fade_out(queue)
            self._close(queue, complete=False)
        self._replies = kept
        self.paused = False
        self._settle(whole=False)
        self._tell()

    def pause(self) -> None:
        """Hold everything at the sample where it is."""
        self.paused = True

    def resume(self) -> None:
        """Go on with that sample."""
        self.paused = False

    def _tell(self) -> None:
        news = self._news
        while news:
            news.popleft()()
