"""The bot's own voice on the line: whether it is to be heard, and whether what comes from the caller is only that."""

from __future__ import annotations

from ...audio import Audio
from .echo import EchoDetector, own_words
from .utterance import Speech

__all__ = ["OwnVoice"]

_SAID = 4  # of the bot's last pieces of text, to know its own words by


class OwnVoice:
    """What the bot has said and when. `echo_ms`, throughout: how long after it its echo may still come."""

    def __init__(self) -> None:
        self.audible = False
        #: When it was last to be heard, once it is not; -1 before it has spoken.
        self.until_ms = -1
        self._said: list[str] = []
        self._detector = EchoDetector()

    # -- what happens

    def started(self) -> None:
        self.audible = True

    def stopped(self, now_ms: int) -> None:
        self.audible = False
        self.until_ms = now_ms

    def said(self, text: str) -> None:
        """Words of the bot that were heard."""
        if text:
            self._said.append(text)
            del self._said[:-_SAID]

    def played(self, at_ms: int, audio: Audio) -> None:
        """A piece of the bot's audio, as it is played."""
        self._detector.played(at_ms, audio)

    def heard(self, at_ms: int, audio: Audio) -> None:
        """A piece of the caller's audio."""
        self._detector.heard(at_ms, audio)

    # -- what comes of it

    def caller(self, length_ms: int) -> bytes:
        """The last of the caller's audio, s16le at 8 kHz."""
        return self._detector.caller(length_ms)

    def near(self, speech: Speech, echo_ms: int) -> bool:
        """Whether the bot was to be heard when the stretch began, or a moment before."""
        return self.audible or speech.began_ms <= self.until_ms + echo_ms

    def is_heard(self, now_ms: int) -> bool:
        """Whether the last of the caller's audio is the bot's."""
        return self._detector.is_echo(now_ms)

    def rings(self, now_ms: int, echo_ms: int) -> bool:
        """Whether it has just ended, so that the room may still ring of it."""
        return not self.audible and now_ms - self.until_ms <= echo_ms

    def are_words(self, text: str, speech: Speech | None, now_ms: int, echo_ms: int) -> bool:
        """Whether these words, of this stretch of speech, are the bot's own, heard again."""
        if speech is not None:
            return self.near(speech, echo_ms) and own_words(text, self._said)
        # Without a VAD nobody knows when it was said: what comes so soon after the bot's voice was not said after it.
        if self.audible:
            return own_words(text, self._said)
        return self.until_ms >= 0 and now_ms - self.until_ms < echo_ms
