"""The caller's sound on its way to the vendor, and what of it another connection would need.

piece ──▶ sent ──▶ covered by a turn ──▶ answered: forgotten
            └─ the connection is lost: sent once more, at most `keep_ms` of it, and nothing that was answered
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["Piece", "Sound"]


@dataclass(slots=True)
class Piece:
    """Sound, with the media time of its first sample and its length."""

    data: bytes
    at_ms: float
    length_ms: float
    #: Its place on the connection, in milliseconds; -1 before it was sent on the present one.
    sent_ms: float = -1.0


class Sound:
    """What the caller has said since their last turn that was answered.

    keep_ms: how much is kept at most. lead_ms: how much of that while nobody speaks.
    gated: nothing is sent while nobody speaks.
    """

    def __init__(self, keep_ms: int, lead_ms: int) -> None:
        self._keep_ms = keep_ms
        self._lead_ms = lead_ms
        self.gated = False
        self.speaking = False
        self._pieces: deque[Piece] = deque()
        self._kept_ms = 0.0
        #: How much the present connection was sent, and when in media time its first sample was.
        self.sent_ms = 0.0
        self._origin_ms = 0.0

    def add(self, data: bytes, at_ms: float, length_ms: float) -> None:
        """The next piece."""
        self._pieces.append(Piece(data, at_ms, length_ms))
        self._kept_ms += length_ms
        most = self._keep_ms if self.speaking else self._lead_ms
        while self._pieces and self._kept_ms - self._pieces[0].length_ms >= most:
            unsent = self._pieces[0].sent_ms < 0 and not self.gated
            if not self.speaking and unsent and self._kept_ms - self._pieces[0].length_ms < self._keep_ms:
                break  # it has yet to be sent: whether somebody speaks in it is not known
            self._kept_ms -= self._pieces.popleft().length_ms

    def waiting(self) -> list[Piece]:
        """What the present connection was not sent yet, in order."""
        if self.gated and not self.speaking:
            return []
        return [piece for piece in self._pieces if piece.sent_ms < 0]

    def sending(self, piece: Piece) -> None:
        """A piece is sent now."""
        if not self.sent_ms:
            self._origin_ms = piece.at_ms
        piece.sent_ms = self.sent_ms
        self.sent_ms += piece.length_ms

    def media_ms(self, sent_ms: float) -> int:
        """The media time of a moment of the connection."""
        for piece in self._pieces:
            if 0 <= piece.sent_ms <= sent_ms < piece.sent_ms + piece.length_ms:
                return round(piece.at_ms + sent_ms - piece.sent_ms)
        return round(self._origin_ms + sent_ms)

    def take(self, until_ms: float | None = None) -> list[Piece]:
        """Everything up to this moment of the connection (None: all that was sent): it is a turn now."""
        taken: list[Piece] = []
        while self._pieces and self._pieces[0].sent_ms >= 0:
            if until_ms is not None and self._pieces[0].sent_ms >= until_ms:
                break
            piece = self._pieces.popleft()
            self._kept_ms -= piece.length_ms
            taken.append(piece)
        return taken

    def drop(self) -> None:
        """What was said is no turn."""
        self.take()
        self.speaking = False

    def lost(self) -> None:
        """The connection is gone: what is here was not sent."""
        self.sent_ms = 0.0
        for piece in self._pieces:
            piece.sent_ms = -1.0
