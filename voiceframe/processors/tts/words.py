"""Words: laying what a voice says onto the text that it was given.

What was heard is known by words, and joined they must be the reply's text to the letter. Voices tell of their words in
their own way: with other white space, without punctuation, with "ten thirty" for "10:30", or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ...frames import Word
from ...words import spans

__all__ = ["Placer"]

#: How far ahead a word is looked for: further on it is more likely another one of the same letters.
_AHEAD: Final = 60
#: Speech in a voice that tells of no words: milliseconds per character of English.
CHAR_MS: Final = 62


class Placer:
    """The text of one reply that a voice was given, and how far it has said it.

    char_ms: how long the voice takes for a character, if it tells of no words.
    """

    __slots__ = ("_char_ms", "_rest", "_said_ms", "silent")

    def __init__(self, char_ms: float = CHAR_MS) -> None:
        self._char_ms = char_ms
        self._rest = ""
        self._said_ms = 0.0  # of sound, since the last word that was placed
        #: Whether the voice has told of a word.
        self.silent = True

    @property
    def rest(self) -> str:
        """What was not said yet."""
        return self._rest

    def given(self, text: str) -> None:
        """The voice was given more."""
        self._rest += text

    def resume(self) -> str:
        """What was not said yet, which another voice is given now: of what it says nothing was said before."""
        self._said_ms = 0.0
        return self._rest

    def place(
        self, words: Iterable[Word], duration_ms: float, original: Callable[[str, str], str] | None = None
    ) -> tuple[Word, ...]:
        """The words of a piece of sound that lasts `duration_ms`, in the letters of the text.

        original: the text's word for one that is said, given that and what is left to say.
        """
        found: list[Word] = []
        for word in words:
            self.silent = False
            text = self._take(word.text if original is None else original(word.text, self._rest))
            if text:
                found.append(Word(text, word.start_ms, word.end_ms))
        if self.silent:
            found.extend(self._guess(duration_ms))
        return tuple(found)

    def finish(self) -> tuple[Word, ...]:
        """The voice has said all that it was given: the words of which it has not told."""
        rest, self._rest = self._rest, ""
        self._said_ms = 0.0
        return (Word(rest, 0, 0),) if rest else ()

    def _take(self, said: str) -> str:
        rest = self._rest
        if said and rest.startswith(said):
            self._rest = rest[len(said) :]
            return said
        bare = _bare(said)
        if not bare:
            return ""
        for start, end in spans(rest[: _AHEAD + len(said)]):
            if _bare(rest[start:end]).startswith(bare):
                if end == _AHEAD + len(said) and end < len(rest):  # the window has cut the word
                    end = start + spans(rest[start:])[0][1]
                self._rest = rest[end:]
                return rest[:end]
        return ""

    def _guess(self, duration_ms: float) -> Iterable[Word]:
        begin = self._said_ms
        self._said_ms += duration_ms
        offset = 0.0
        for start, end in spans(self._rest):
            length = (end - start) * self._char_ms
            if offset + length > self._said_ms:
                break
            yield Word(self._rest[start:end], max(0, round(offset - begin)), max(0, round(offset + length - begin)))
            offset += length
        if offset:
            taken = 0
            total = 0.0
            for start, end in spans(self._rest):
                total += (end - start) * self._char_ms
                if total > offset:
                    break
                taken = end
            self._rest = self._rest[taken:]
            self._said_ms -= offset


def _bare(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
