"""The output of a line whose carrier plays what it is sent, at the pace of the clock: sound goes out a little ahead.

    replies ──▶ playout ──▶ sent, 200 ms ahead of the clock ──▶ the carrier plays
                   │             └─ ledger (`Ahead`) ◀── marks that come back
                   └ paused, cut: what was not sent        └▶ what was heard

Sound in the carrier's hands rides out a hiccup of the network or of this process; but it is out of ours, so there is
little of it. An interruption clears it there. What was heard is what the carrier says that it has played, by its marks,
and never more than the clock allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..audio import AudioFormat
from ..frames import InterruptionFrame, PauseFrame
from ..processor import handles
from .ahead import Ahead
from .output import AudioOutput, OnWord
from .playout import Playout

__all__ = ["MediaSender", "PacedOutput"]

#: The length of a piece.
PIECE_MS = 20


class MediaSender(Protocol):
    """Where sound goes: a connection to a carrier."""

    def send_audio(self, data: bytes) -> None:
        """Play this behind all that was sent before."""

    def send_mark(self, name: str) -> None:
        """Send this name back when all before it was played."""

    def send_clear(self) -> None:
        """Forget what was not played, and send its marks back."""


class PacedOutput(AudioOutput):
    """The sink of a carrier's line. The transport calls `pace()` on each tick of 20 ms.

    ahead_ms: how far sound is sent ahead of the clock.
    mark_wait_ms: how long a mark is waited for beyond its time; after that the clock is believed.
    """

    def __init__(
        self,
        format: AudioFormat,
        *,
        ahead_ms: int = 200,
        mark_wait_ms: int = 1_000,
        on_word: OnWord | None = None,
        on_reply: Callable[[int, bool], None] | None = None,
        on_digits: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(format, on_word=on_word, on_reply=on_reply, on_digits=on_digits)
        self._samples = format.rate * PIECE_MS // 1000
        self._ahead_samples = format.rate * ahead_ms // 1000
        width = format.bytes_per_second // format.rate
        self._ledger = Ahead(self, width, format.rate * mark_wait_ms // 1000)
        self.playout = Playout(format, self._ledger)
        self._sender: MediaSender | None = None
        self._clock = 0
        #: How often the process was so late that the carrier had nothing to play in the middle of speech.
        self.underruns = 0

    # -- the connection

    def connect(self, sender: MediaSender | None) -> None:
        """The line has a connection for its media, or (None) has lost it. What the lost one had not played is lost."""
        self._sender = sender
        if sender is None:
            self._ledger.lose(self._clock)

    def mark_came(self, name: str) -> None:
        """A mark has come back: what was sent before it was played, unless it has been cleared since."""
        ledger = self._ledger
        if name.isascii() and name.isdigit() and len(name) < 10 and ledger.acknowledged < int(name) < ledger.mark:
            ledger.acknowledged = int(name)

    # -- the clock

    def pace(self, position: int) -> None:
        """The clock has come to this sample of the line: tell what has sounded, and send what is due."""
        playout, ledger = self.playout, self._ledger
        self._clock = position
        ledger.sounded(min(position, playout.position))
        sender = self._sender
        if playout.position < position:
            # Nothing more is in the carrier's hands: time has passed in silence.
            self.underruns += playout.sounding and playout.waiting and not playout.paused and sender is not None
            playout.skip(position - playout.position)
        if sender is not None:
            self._send(sender, position + self._ahead_samples)
        self._taken()

    def _send(self, sender: MediaSender, limit: int) -> None:
        playout, ledger = self.playout, self._ledger
        while playout.position < limit and self._due():
            size = min(self._samples, limit - playout.position)
            ledger.at = playout.position + size
            sender.send_audio(playout.take(size))
            self._mark(sender)
        playout.take(0)  # whose last sample was sent just now is over when that has sounded
        self._mark(sender)

    def _due(self) -> bool:
        """Whether there is something to send: sound, the rest of a fade, or the beginning of one.

        What sounds must not stop with a step, but more of it may come until the last moment.
        """
        playout = self.playout
        if playout.fading or (playout.waiting and not playout.paused):
            return True
        return playout.sounding and (playout.paused or playout.position - self._clock <= self._samples)

    def _mark(self, sender: MediaSender) -> None:
        ledger = self._ledger
        if ledger.wanted:
            ledger.wanted = False
            sender.send_mark(str(ledger.mark))
            ledger.mark += 1

    # -- interruption

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        def dead(reply: int) -> bool:
            return bool(reply) and not self.alive(reply)

        self._settle()
        cleared = self._ledger.forget(dead)
        self.playout.cut(dead)
        self._clear(cleared)

    @handles(PauseFrame)
    def on_pause(self, frame: PauseFrame) -> None:
        """Hold it at once: what the carrier has not played comes back, to be sent again."""
        self._settle()
        recalled = self._ledger.recall(self.playout) if self._sender is not None else None
        self.playout.pause()
        self._clear(recalled)

    def position(self) -> int:
        """The sample of the line at which the clock is now."""
        return self._clock

    def _settle(self) -> None:
        """Find out what has sounded up to this moment."""
        self.playout.take(0)  # what was sent to its end is over, and in the ledger
        self._clock = self.position()
        self._ledger.split(min(self._clock, self.playout.position))

    def _clear(self, cleared: tuple[bytes, int] | None) -> None:
        if cleared is None:
            return
        if self._sender is not None:
            self._sender.send_clear()
        self._ledger.acknowledged = self._ledger.mark - 1  # what comes back now was cleared
        sound, position = cleared
        self.playout.back(max(position, self._clock), sound)
        if self._sender is not None:
            self._send(self._sender, self.playout.position + self._samples)  # the fade, at once

    def abandon(self) -> None:
        """Nobody is there any more, and nobody will be: what waits is not going to be heard."""
        self.playout.take(0)
        self._ledger.forget(lambda _: True)
        self.playout.cut(lambda _: True, keys=True)
        self.playout.back(self.playout.position, b"")
        self._taken()

    # -- what the base asks

    @property
    def speaking(self) -> bool:
        return self.playout.speaking or self._ledger.waiting

    @property
    def idle(self) -> bool:
        return self.playout.idle and not self._ledger.waiting

    def remaining_ms(self) -> int:
        sent = max(0, self.playout.position - self._clock) if self._ledger.waiting else 0
        return super().remaining_ms() + sent * 1000 // self.playout.format.rate
