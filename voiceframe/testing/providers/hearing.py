"""Sound that a local server can understand, and what all recognizers among those servers have in common.

A word is 120 ms of one constant sample, another for each word; between words there is silence. So a server hears
exactly what it was sent, however often, in whatever pieces, and with a hole in it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

from ...audio import PCMU_8K, Audio
from ...g711 import audioop
from .server import FakeProvider

__all__ = ["WORD_MS", "Ear", "FakeRecognizer", "Heard", "sound"]

#: How long a word is, and the silence behind it.
WORD_MS: Final = 120
GAP_MS: Final = 20
_LEAST_MS: Final = 70
_SILENCE: Final = 0xFF
#: Code words of µ-law for words of the language: as many as there are levels that differ.
_CODES: Final = tuple(range(0x08, 0x70))
_known: dict[str, int] = {}
_words: dict[int, str] = {}


def sound(text: str, *, before_ms: int = 0, after_ms: int = 0) -> bytes:
    """The text as µ-law at 8 kHz, which an `Ear` understands; with silence before and after it.

    Raises `ValueError` when a process has used more than a hundred different words.
    """
    parts = [bytes([_SILENCE]) * (8 * before_ms)]
    for word in text.split():
        if word not in _known:
            if len(_known) == len(_CODES):
                raise ValueError(f"there are sounds for {len(_CODES)} different words")
            code = _CODES[len(_known)]
            _known[word], _words[code] = code, word
        parts += [bytes([_known[word]]) * (8 * WORD_MS), bytes([_SILENCE]) * (8 * GAP_MS)]
    parts.append(bytes([_SILENCE]) * (8 * after_ms))
    return b"".join(parts)


class Heard(NamedTuple):
    """A word, and where in the audio it was, in milliseconds."""

    text: str
    start_ms: int
    end_ms: int


class Ear:
    """Finds words in audio: µ-law, A-law or s16le, at any rate that it was not resampled to."""

    def __init__(self, encoding: str, rate: int) -> None:
        self._encoding = encoding
        self._rate = rate
        self._samples = 0
        self._code = _SILENCE
        self._since = 0
        #: All words so far.
        self.words: list[Heard] = []

    @property
    def now_ms(self) -> int:
        """How much audio has come."""
        return self._samples * 1000 // self._rate

    @property
    def silent_ms(self) -> int:
        """For how long nobody has spoken."""
        if self._code in _words:
            return 0
        return self.now_ms - (self.words[-1].end_ms if self.words else 0)

    def hear(self, audio: bytes) -> int:
        """More audio. Returns how many words it has completed."""
        if self._encoding in ("linear16", "pcm_s16le"):
            audio = audioop.lin2ulaw(audio, 2)
        elif self._encoding in ("alaw", "pcm_alaw"):
            audio = audioop.lin2ulaw(audioop.alaw2lin(audio, 2), 2)
        before = len(self.words)
        at = 0
        while at < len(audio):
            code = audio[at]
            run = len(audio) - at - len(audio[at:].lstrip(bytes([code])))
            if code != self._code:
                self._finish()
                self._code, self._since = code, self._samples
            self._samples += run
            at += run
        return len(self.words) - before

    def flush(self) -> None:
        """Take what is being said for a word."""
        self._finish()
        self._code, self._since = _SILENCE, self._samples

    def _finish(self) -> None:
        start, end = (samples * 1000 // self._rate for samples in (self._since, self._samples))
        text = _words.get(self._code)
        if text is not None and end - start >= _LEAST_MS:
            self.words.append(Heard(text, start, end))


class FakeRecognizer(FakeProvider):
    """A vendor that hears. It understands `sound(...)`, or says what a test has scripted.

    part_words: after how many words it gives a part as final, where the vendor does so; 0 for never.
    """

    def __init__(self, *, key: str = "key", part_words: int = 3) -> None:
        super().__init__(key=key)
        self.part_words = part_words
        #: What it understands in place of what it hears, a text for each segment or turn.
        self.says: deque[str] = deque()
        #: How long it takes for the result of a segment, in milliseconds.
        self.latency_ms = 0
        #: Whether it hears and says nothing.
        self.mute = False

    async def think(self) -> None:
        """What passes before a result."""
        if self.latency_ms:
            await asyncio.sleep(self.latency_ms / 1000)

    def result(self, heard: list[Heard]) -> list[Heard]:
        """These words, or those that are scripted, in their place."""
        if not self.says:
            return heard
        start = heard[0].start_ms if heard else 0
        return [
            Heard(word, start + WORD_MS * n, start + WORD_MS * (n + 1))
            for n, word in enumerate(self.says.popleft().split())
        ]


def pieces(audio: bytes, piece_ms: int = 20) -> list[Audio]:
    """µ-law at 8 kHz in pieces as a line has them."""
    step = 8 * piece_ms
    return [Audio(audio[at : at + step], PCMU_8K) for at in range(0, len(audio), step)]
