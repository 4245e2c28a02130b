"""Phrases found in what was recognized, whatever the recognizer writes between their words."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

__all__ = ["Phrases", "plain"]


def plain(text: str) -> list[str]:
    """The words in small letters, without accents, punctuation and apostrophes: "I'm" is "im"."""
    text = text.lower().replace("'", "").replace("’", "")
    kept = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if c.isalnum() else " " for c in kept).split()


class Phrases:
    """Phrases to look for. A `*` in one stands for one word or two, or none: "leave * message"."""

    __slots__ = ("_phrases",)

    def __init__(self, phrases: Iterable[str]) -> None:
        found = []
        for phrase in phrases:
            words = [word for part in phrase.split() for word in (["*"] if part == "*" else plain(part))]
            while words and words[0] == "*":
                del words[0]
            while words and words[-1] == "*":
                del words[-1]
            if words:
                found.append((phrase, words))
        self._phrases = found

    def find(self, text: str) -> str | None:
        """The first phrase that is in the text."""
        words = plain(text)
        for phrase, wanted in self._phrases:
            if any(_match(words, start, wanted) for start in range(len(words))):
                return phrase
        return None


def _match(words: list[str], at: int, wanted: list[str]) -> bool:
    # A gap is at most two words, so that this ends soon whatever was said.
    for number, word in enumerate(wanted):
        if word == "*":
            return any(_match(words, at + skip, wanted[number + 1 :]) for skip in range(3))
        if at >= len(words) or words[at] != word:
            return False
        at += 1
    return True
