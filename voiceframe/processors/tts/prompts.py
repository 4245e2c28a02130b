"""Sentences that a provider need not say twice: they are kept as they came, and played again without it."""

from __future__ import annotations

from collections.abc import Iterator

from ...audio import AudioFormat
from ...frames import Word
from .cache import PromptCache, PromptKey
from .prompt import Prompt
from .speech import Recording

__all__ = ["Prompts", "fitted"]


class Prompts:
    """The prompts of one voice, with its settings, in one format.

    key: what makes its sound what it is, but for the text.
    """

    def __init__(self, cache: PromptCache, key: PromptKey, format: AudioFormat, piece_ms: int) -> None:
        self.cache = cache
        self._key = key
        self._format = format
        self._piece_ms = piece_ms

    def key(self, text: str) -> PromptKey:
        return (*self._key, text.strip())

    def keeps(self, text: str) -> bool:
        """Whether a sentence is one that is kept: not empty, and not too long."""
        return 0 < len(text.strip()) <= self.cache.settings.max_chars

    def get(self, text: str) -> Prompt | None:
        """The prompt, if it is in memory."""
        return self.cache.get(self.key(text))

    def fetch(self, text: str) -> Prompt | None:
        """The prompt from memory or from disk. Blocks."""
        return self.cache.fetch(self.key(text), self._format, self._piece_ms)

    def keep(self, recording: Recording, *, disk: bool = False) -> None:
        """Keep what was said, if all of it was. Blocks, if it is kept on disk."""
        text, words = recording.text, recording.words
        audio = b"".join(recording.audio)
        if not audio or "".join(word.text for word in words) != text:
            return
        words[0] = Word(words[0].text.lstrip(), words[0].start_ms, words[0].end_ms)
        words[-1] = Word(words[-1].text.rstrip(), words[-1].start_ms, words[-1].end_ms)
        self.cache.put(self.key(text), Prompt.of(audio, words, self._format, self._piece_ms), disk=disk)


def fitted(prompt: Prompt, text: str) -> Iterator[tuple[bytes, tuple[Word, ...]]]:
    """The pieces of a prompt with their words, which joined are `text`, with its white space."""
    bare = text.strip()
    start = text.index(bare)
    before, behind = text[:start], text[start + len(bare) :]
    last = max((index for index, (_, words) in enumerate(prompt.pieces) if words), default=-1)
    for index, (audio, words) in enumerate(prompt.pieces):
        if words and before:
            first = words[0]
            words, before = (Word(before + first.text, first.start_ms, first.end_ms), *words[1:]), ""
        if index == last and behind:
            end = words[-1]
            words = (*words[:-1], Word(end.text + behind, end.start_ms, end.end_ms))
        yield audio, words
