"""How words are said: what a voice is given in their place, and the words back from what it tells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ...errors import SpeechError

__all__ = ["Lexicon"]


class Lexicon:
    """Words with their pronunciations, as `TTSSettings.lexicon` has them.

    entries: `Nguyen=win` respells a word, `dupilumab=/duːˈpɪljuːmæb/` gives its phonemes.
    phonemes: how the voice takes phonemes, as text for a word and what stands between the slashes; None if it does not.

    Raises `SpeechError` (`tts.lexicon`) for an entry that says nothing.
    """

    def __init__(self, entries: Iterable[str], phonemes: Callable[[str, str], str | None]) -> None:
        self._said: dict[str, str] = {}
        self._respelled: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._expected: tuple[str, ...] = ()
        #: Words whose phonemes the voice does not take; they are said as they are written.
        self.refused: list[str] = []
        for entry in entries:
            word, _, said = (part.strip() for part in entry.partition("="))
            if not word or not said or said in ("/", "//"):
                raise SpeechError.of("tts.lexicon", entry=repr(entry))
            if len(said) > 2 and said[0] == said[-1] == "/":
                made = phonemes(word, said[1:-1])
                if made is None:
                    self.refused.append(word)
                    continue
                self._said[word.casefold()] = made
            else:
                self._said[word.casefold()] = said
                first, *more = (_bare(part) for part in said.split())
                self._respelled[first] = (word, tuple(more))
        alternatives = "|".join(re.escape(word) for word in sorted(self._said, key=len, reverse=True))
        self._pattern = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE) if self._said else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def speak(self, text: str, plain: Callable[[str], str] = str) -> str:
        """The text as the voice is given it. plain: what is done to all that is not in the lexicon."""
        if self._pattern is None:
            return plain(text)
        made: list[str] = []
        end = 0
        for match in self._pattern.finditer(text):
            made += [plain(text[end : match.start()]), self._said[match.group().casefold()]]
            end = match.end()
        return "".join([*made, plain(text[end:])])

    def original(self, said: str, following: str) -> str:
        """The word of the text for one of which a voice tells; empty for a further part of a respelled one.

        following: the rest of the text, which may have the very word that was said.
        """
        bare = _bare(said)
        if not self._respelled or not bare:
            return said
        if self._expected and bare == self._expected[0]:
            self._expected = self._expected[1:]
            return ""
        self._expected = ()
        found = self._respelled.get(bare)
        if found is None or _bare(following.split(maxsplit=1)[0] if following.strip() else "") == bare:
            return said
        self._expected = found[1]
        return found[0]


def _bare(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
