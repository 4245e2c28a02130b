"""A take: one recording from its start to its stop, laid out on the time of the call."""

from __future__ import annotations

from typing import Final, Literal

from ...audio import Audio
from .legs import BOT, CALLER, Block, Legs

__all__ = ["Take"]

#: What is handed over at once, and how late a piece of audio may be and still find its place. In seconds.
BLOCK_S: Final = 1
LATE_S: Final = 1
#: A piece of the caller's that is by so much of its length away from its place shows that others are missing, or that
#: the caller's clock is another one. Less is rounding.
ASTRAY: Final = 0.75


class Take:
    """Lays out both sides from `began_ms` on and hands them over in blocks, in constant memory.

    The bot's side goes by the output's count of samples. The caller's goes by its own count, in which whole pieces that
    are missing by media time (`at_ms`) leave silence of their length. So both stay where they were, to the sample.
    """

    def __init__(self, began_ms: int) -> None:
        self._began_ms = began_ms
        #: In Hz; 0 before the first audio.
        self.rate = 0
        #: Why it was stopped.
        self.reason = ""
        self._legs = Legs()
        self._caller_next: int | None = None
        self._bot_offset: int | None = None
        self._silent_from_ms: int | None = None
        self._silent_until_ms = -1  # what is of before that may still come, and is to be silence
        self._silent_ms = 0

    # -- sound

    def caller(self, at_ms: int, audio: Audio) -> list[Block]:
        """A piece of the caller's. Returns the blocks that are complete now."""
        rate = self.rate = self.rate or audio.format.rate
        pcm = audio.pcm(rate)
        length = len(pcm) // 2
        if not length:
            return []
        place = (at_ms - self._began_ms) * rate / 1000
        position = self._caller_next
        if position is None:
            position = round(place)
        else:
            astray = place - position
            if astray >= ASTRAY * length:
                # What is missing are whole pieces: media time in milliseconds is too coarse to tell it to the sample.
                position += round(astray / length) * length
            elif astray <= -ASTRAY * length:
                return []  # the caller's clock is ahead by nearly a piece
        self._caller_next = position + length
        return self._put(CALLER, position, pcm, at_ms)

    def bot(self, at_ms: int, position: int, audio: Audio) -> list[Block]:
        """A piece of the bot's, by its position on the line."""
        line_rate = audio.format.rate
        rate = self.rate = self.rate or line_rate
        if self._bot_offset is None:
            # The output makes `at_ms` from `position`, in whole milliseconds; this is the way back, without loss.
            line_began_ms = at_ms - position * 1000 // line_rate
            self._bot_offset = round((line_began_ms - self._began_ms) * rate / 1000)
        return self._put(BOT, self._bot_offset + position * rate // line_rate, audio.pcm(rate), at_ms)

    def _put(self, leg: Literal[0, 1], position: int, pcm: bytes, at_ms: int) -> list[Block]:
        legs = self._legs
        # First what is behind it: after a silence of minutes nothing is kept for those.
        ready = position - legs.begin - (BLOCK_S + LATE_S) * self.rate
        blocks = self._blocks(ready // (BLOCK_S * self.rate) + 1) if ready >= 0 else []
        if self._silent_from_ms is None and at_ms >= self._silent_until_ms:
            legs.put(leg, position, pcm)
        else:
            legs.reach(position + len(pcm) // 2)
        return blocks

    def _blocks(self, count: int) -> list[Block]:
        return [self._legs.take(BLOCK_S * self.rate) for _ in range(count)]

    # -- silence

    @property
    def silent(self) -> bool:
        """Whether silence is recorded now."""
        return self._silent_from_ms is not None

    def hush(self, at_ms: int) -> None:
        """Record silence from here on."""
        if self._silent_from_ms is None:
            self._silent_from_ms = at_ms

    def unhush(self, at_ms: int) -> None:
        """Record what is said again: what was said before and comes late is silence all the same."""
        if self._silent_from_ms is not None:
            self._silent_ms += at_ms - self._silent_from_ms
            self._silent_from_ms = None
            self._silent_until_ms = at_ms

    @property
    def silent_ms(self) -> int:
        """How much silence there is by request."""
        return self._silent_ms

    # -- the end

    def stop(self, at_ms: int) -> list[Block]:
        """The end is here. Returns all that is left."""
        self.unhush(at_ms)
        legs = self._legs
        legs.reach(round((at_ms - self._began_ms) * self.rate / 1000))
        if not self.rate:
            return []
        left = legs.end - legs.begin
        blocks = self._blocks(left // (BLOCK_S * self.rate))
        rest = legs.end - legs.begin
        return [*blocks, legs.take(rest)] if rest else blocks
