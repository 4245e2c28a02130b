"""A prompt: a sentence as sound, ready to be handed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...audio import AudioFormat
from ...frames import Word

__all__ = ["Prompt"]


@dataclass(slots=True, frozen=True)
class Prompt:
    """A spoken sentence in the format of the line, cut into pieces once for all who play it.

    `pieces` have each their sound and the words that begin in it, in milliseconds from its start.
    """

    words: tuple[Word, ...]
    pieces: tuple[tuple[bytes, tuple[Word, ...]], ...] = field(repr=False)

    @classmethod
    def of(cls, audio: bytes, words: Sequence[Word], format: AudioFormat, piece_ms: int) -> Prompt:
        """Cut `audio` into pieces of `piece_ms`."""
        per_second = format.bytes_per_second
        size = per_second * piece_ms // 1000
        size -= size % (per_second // format.rate)
        pieces: list[tuple[bytes, tuple[Word, ...]]] = []
        for start in range(0, max(1, len(audio)), size):
            begin, end = start * 1000 // per_second, (start + size) * 1000 // per_second
            last = start + size >= len(audio)
            inside = tuple(
                Word(word.text, word.start_ms - begin, word.end_ms - begin)
                for word in words
                if (not start or begin <= word.start_ms) and (last or word.start_ms < end)
            )
            pieces.append((audio[start : start + size], inside))
        return cls(tuple(words), tuple(pieces))

    @property
    def audio(self) -> bytes:
        """All of the sound."""
        return b"".join(audio for audio, _ in self.pieces)

    @property
    def size(self) -> int:
        """About how much memory it takes, in bytes."""
        return 500 + sum(len(audio) + 100 for audio, _ in self.pieces) + 150 * len(self.words)
